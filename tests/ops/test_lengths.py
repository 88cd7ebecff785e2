import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.ops.lengths import unit_length


def test_vectors_keep_their_direction_and_have_length_one():
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    expected = x / np.linalg.norm(x, axis=-1, keepdims=True)
    for function in (unit_length, jax.jit(unit_length)):
        np.testing.assert_allclose(function(x), expected, rtol=1e-6)


def test_a_zero_vector_stays_zero_and_has_no_gradient():
    x = jnp.zeros((2, 3)).at[0, 0].set(1e-13)
    np.testing.assert_array_equal(unit_length(x), 0)
    gradient = jax.grad(lambda x: jnp.sum(unit_length(x)))(x)
    np.testing.assert_array_equal(gradient, 0)


def test_vectors_shorter_than_the_least_are_divided_by_it():
    x = jnp.array([[3e-8, 4e-8], [3.0, 4.0], [0.0, 0.0]])
    found = unit_length(x, least=1e-6)
    np.testing.assert_allclose(found, [[0.03, 0.04], [0.6, 0.8], [0, 0]], rtol=1e-5)
    gradient = jax.grad(lambda x: jnp.sum(unit_length(x, least=1e-6)))(x)
    np.testing.assert_allclose(gradient[0], 1e6, rtol=1e-5)
    np.testing.assert_array_equal(gradient[2], 0)
