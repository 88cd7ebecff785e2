import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.methods.zs3net.graph import GraphGenerator, at_first_pixel, graph_of

TABLE = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def generate(ids, noise, adjacency, seed=0, **call):
    generator = GraphGenerator(5, hidden=6)
    call = dict(train=False) | call
    inputs = TABLE, jnp.asarray(ids), jnp.asarray(noise), jnp.asarray(adjacency)
    variables = generator.init(jax.random.key(seed), *inputs, train=False)
    return np.asarray(generator.apply(variables, *inputs, **call)), variables["params"]


def draw(nodes=6, seed=1):
    rng = np.random.default_rng(seed)
    edges = np.triu(rng.integers(0, 2, (nodes, nodes)), 1).astype(np.float32)
    noise = rng.normal(size=(nodes, 3)).astype(np.float32)
    return rng.integers(0, 4, nodes), noise, edges + edges.T


def test_a_graph_is_of_each_picture_by_itself():
    maps = jnp.asarray([[[0, 0, 1], [2, 2, 2]], [[1, 1, 1], [255, 255, 3]]])
    find = functools.partial(graph_of, num_classes=4, num_nodes=4)
    graph = jax.jit(find)(maps)
    assert graph.labels.tolist() == [[0, 1, 2, -1], [1, 3, -1, -1]]
    assert graph.first.tolist() == [[0, 2, 3, 0], [0, 5, 0, 0]]
    assert graph.adjacency[0, :3, :3].tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert graph.adjacency.sum() == 6 + 2
    places = jnp.arange(12).reshape(2, 2, 3)
    assert at_first_pixel(places, graph).tolist() == [[0, 2, 3, 0], [6, 11, 6, 6]]


def test_two_convolutions_are_the_formula():
    ids, noise, edges = draw()
    ours, params = generate(ids, noise, edges)
    weights = [np.asarray(params[f"layer_{i}"]["weight"]["kernel"]) for i in (0, 1)]
    x = edges @ (np.concatenate([TABLE[ids], noise], 1) @ weights[0]) + 0.01
    x = edges @ (np.where(x > 0, x, 0.2 * x) @ weights[1]) + 0.01
    np.testing.assert_allclose(ours, x, rtol=1e-4, atol=1e-5)


def test_the_order_of_nodes_does_not_matter():
    ids, noise, edges = draw()
    order = np.random.default_rng(2).permutation(len(ids))
    ours, _ = generate(ids, noise, edges)
    moved, _ = generate(ids[order], noise[order], edges[order][:, order])
    np.testing.assert_allclose(moved, ours[order], rtol=1e-4, atol=1e-5)


def test_a_node_that_nothing_touches_is_the_bias():
    ids, noise, edges = draw()
    edges[2] = edges[:, 2] = 0
    ours, _ = generate(ids, noise, edges)
    np.testing.assert_allclose(ours[2], 0.01, rtol=1e-6)


def test_places_without_a_node_have_no_word():
    ids, noise, edges = draw()
    ids[1] = -1
    ours, _ = generate(ids, noise, edges)
    ids[1] = 255
    same, _ = generate(ids, noise, edges)
    np.testing.assert_array_equal(ours, same)


def test_dropout_is_of_training():
    ids, noise, edges = draw()
    dropped, _ = generate(
        ids, noise, edges, train=True, rngs={"dropout": jax.random.key(0)}
    )
    assert np.any(dropped != generate(ids, noise, edges)[0])
