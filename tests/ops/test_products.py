import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxseg.ops.products import dot_general, matmul


def drawn(*shape, dtype, seed=0):
    return jax.random.normal(jax.random.key(seed), shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_products_are_those_of_float64_rounded_once(dtype):
    a, b = drawn(2, 9, 50, dtype=dtype), drawn(50, 7, dtype=dtype, seed=1)
    found = jax.jit(matmul)(a, b)
    assert found.dtype == dtype and found.shape == (2, 9, 7)
    exact = np.asarray(a, np.float64) @ np.asarray(b, np.float64)
    unit = float(jnp.finfo(dtype).eps)
    # Sums are made in float32, in any order, and rounded to the type at the end.
    slack = 50 * np.finfo(np.float32).eps * np.max(np.abs(exact))
    assert np.all(
        np.abs(np.asarray(found, np.float64) - exact) <= unit * np.abs(exact) + slack
    )


def test_gradients_are_those_of_the_plain_product():
    a, b = drawn(9, 50, dtype="bfloat16"), drawn(50, 7, dtype="bfloat16", seed=1)
    axes = (((1,), (0,)), ((), ()))

    def loss(function):
        return lambda a, b: jnp.sum(
            jnp.square(function(a, b, axes)).astype(jnp.float32)
        )

    ours = jax.grad(loss(dot_general), (0, 1))(a, b)
    plain = jax.grad(loss(lax.dot_general), (0, 1))(a, b)
    for one, other in zip(ours, plain, strict=True):
        assert one.dtype == jnp.bfloat16
        one, other = (np.asarray(each, np.float32) for each in (one, other))
        np.testing.assert_allclose(one, other, rtol=0.05, atol=0.5)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of the CPU's programs")
def test_a_cpu_multiplies_bfloat16_to_float32():
    a, b = drawn(9, 50, dtype="bfloat16"), drawn(50, 7, dtype="bfloat16", seed=1)
    (product,) = (
        eqn
        for eqn in jax.make_jaxpr(matmul)(a, b).eqns
        if eqn.primitive.name == "dot_general"
    )
    assert product.params["preferred_element_type"] == jnp.float32
