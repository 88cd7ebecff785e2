import jax.numpy as jnp
import numpy as np

from jaxseg.ops.spectral_graph import normalise, product


def drawn(n=7):
    weights = np.random.default_rng(0).uniform(size=(n, n)).astype(np.float32)
    return weights + weights.T


def dense(weights):
    degrees = weights.sum(axis=1)
    degrees[degrees == 0] = 1
    return weights / np.sqrt(degrees) / np.sqrt(degrees)[:, None]


def test_products_equal_those_of_the_written_matrix():
    weights, vectors = drawn(), np.random.default_rng(1).normal(size=(7, 3))
    ours = product(normalise(jnp.asarray(weights)), vectors.astype(np.float32))
    np.testing.assert_allclose(ours, dense(weights) @ vectors, atol=1e-6)


def test_the_constant_vector_is_an_eigenvector_of_eigenvalue_one():
    graph = normalise(jnp.asarray(drawn()))
    vector = graph.constant[:, None]
    np.testing.assert_allclose(product(graph, vector), vector, atol=1e-6)
    entries = graph.scale * graph.constant
    np.testing.assert_allclose(entries, np.full(7, entries[0]), rtol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(vector), 1, atol=1e-6)


def test_nodes_without_neighbours_stay_apart():
    weights = drawn()
    weights[2], weights[:, 2] = 0, 0
    graph = normalise(jnp.asarray(weights))
    assert graph.scale[2] == 1 and graph.constant[2] == 0
    image = product(graph, jnp.ones((7, 1)))
    expected = dense(weights) @ np.ones((7, 1))
    np.testing.assert_allclose(image, expected, atol=1e-6)


def test_a_graph_without_edges_has_no_constant_vector():
    graph = normalise(jnp.zeros((2, 4, 4)))
    np.testing.assert_array_equal(graph.constant, 0)
    np.testing.assert_array_equal(product(graph, jnp.ones((2, 4, 1))), 0)
