import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops.backward import barrier, compiler_options, linear

RNG = np.random.default_rng(0)


def normal(*shape, dtype="float32"):
    return jnp.asarray(RNG.normal(size=shape), dtype)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, jax.checkpoint])
@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 4, 5), (0, 5)])
def test_linear_is_the_product_and_so_are_its_gradients(shape, wrap):
    inputs = normal(*shape), normal(5, 6)
    np.testing.assert_allclose(linear(*inputs), inputs[0] @ inputs[1], rtol=1e-6)
    weights = normal(*shape[:-1], 6)

    def gradients(function):
        return jax.grad(lambda *i: jnp.vdot(wrap(function)(*i), weights), (0, 1))

    ours, plain = gradients(linear)(*inputs), gradients(jnp.matmul)(*inputs)
    for one, other in zip(ours, plain, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_linear_keeps_bfloat16():
    inputs = normal(4, 5, dtype="bfloat16"), normal(5, 6, dtype="bfloat16")
    found = jax.grad(lambda *i: jnp.sum(linear(*i).astype("float32")), (0, 1))(*inputs)
    assert linear(*inputs).dtype == "bfloat16"
    assert [gradient.dtype for gradient in found] == ["bfloat16", "bfloat16"]


def residual_network(weights, x, between):
    for weight in weights:
        y = jax.nn.relu(between(x) @ weight)
        x = jax.nn.relu(between(x) + y * jax.lax.rsqrt(jnp.var(y, 0) + 1e-5))
    return jnp.sum(x**2)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="elsewhere there is none")
def test_barriers_stay_until_the_end_and_change_nothing():
    weights, x = [normal(8, 8) for _ in range(4)], normal(6, 8)
    results = []
    for between in (lambda x: x, barrier):
        step = jax.value_and_grad(lambda *i, b=between: residual_network(*i, b))
        compiled = jax.jit(step).lower(weights, x).compile(compiler_options())
        assert ("opt-barrier" in compiled.as_text()) == (between is barrier)
        results.append(compiled(weights, x))
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5), *results
    )
