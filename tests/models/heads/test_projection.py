"""Values and statistics are checked by the golden case pico/module_proj_head."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.heads.projection import Projection
from tests.models.fill import filled, num_parameters


def features():
    rng = np.random.default_rng(0)
    # Of so many channels the ReLU leaves some at every pixel.
    return jnp.asarray(rng.normal(size=(2, 4, 5, 32)), jnp.float32)


def project(head, x, train=False):
    y, _ = head.apply(
        filled(head, x, train=False), x, train=train, mutable=["batch_stats"]
    )
    return y


@pytest.mark.parametrize("channels, count", [(720, 705_136), (2048, 4_724_992)])
def test_parameter_count_is_the_published_one(channels, count):
    assert num_parameters(Projection(), jnp.zeros((1, 2, 2, channels))) == count


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("linear", [False, True])
def test_embeddings_are_float32_of_length_one(dtype, linear):
    y = project(Projection(3, linear=linear, dtype=dtype), features(), train=True)
    assert y.shape == (2, 4, 5, 3) and y.dtype == jnp.float32
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 1, atol=1e-6)


def test_the_linear_variant_is_one_matrix_and_its_directions():
    head = Projection(3, linear=True)
    x, variables = features(), filled(head, features(), train=False)
    assert set(variables["params"]) == {"project"}
    y = x @ variables["params"]["project"]["kernel"][0, 0]
    wanted = y / np.linalg.norm(y, axis=-1, keepdims=True)
    np.testing.assert_allclose(head.apply(variables, x, train=False), wanted, atol=1e-6)


def test_half_precision_is_near_the_truth():
    exact = project(Projection(3), features())
    half = project(Projection(3, dtype="bfloat16"), features())
    np.testing.assert_allclose(half, exact, atol=0.03)


def test_a_vector_of_zeros_stays_zero_without_a_gradient():
    head = Projection(3, linear=True)
    x = features().at[0, 0, 0].set(0)  # the bias is zero, too
    variables = filled(head, x, train=False)
    assert not head.apply(variables, x, train=False)[0, 0, 0].any()
    grad = jax.jit(
        jax.grad(lambda x: jnp.sum(head.apply(variables, x, train=False) ** 3))
    )(x)
    assert jnp.isfinite(grad).all()
    assert not grad[0, 0, 0].any() and grad[0, 0, 1].any()


def test_very_short_vectors_are_lengthened():
    y = project(Projection(3, linear=True), 1e-9 * features())
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 1, atol=1e-5)
