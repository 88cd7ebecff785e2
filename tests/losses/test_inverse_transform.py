import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.losses.inverse_transform import (
    distance_to_identity,
    euclidean_distance,
    geodesic_distance,
    inverse_transform_loss,
    safe_norm,
)
from jaxseg.models.inverse_transform import InverseTransform

TILE = 6
NETWORK = InverseTransform(tile=TILE, hidden=(10, 8))
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(2, 12, 12)).astype(np.float32) * 2
EDGES = RNG.random((2, 12, 12)) < 0.3


@pytest.fixture(scope="module")
def params():
    blank = jnp.zeros((1, TILE, TILE))
    variables = NETWORK.init(jax.random.key(0), blank, blank)
    return jax.tree.map(lambda x: 3 * x + 0.1, variables["params"])


def term(**options):
    options = dict(tile=TILE, rows=2, columns=2, least_edges=0) | options
    return functools.partial(
        inverse_transform_loss, network=NETWORK.transforms, **options
    )


def test_it_is_the_mean_norm_of_the_tiles_transforms(params):
    a = 1 / (1 + np.exp(-LOGITS))
    norms = []
    for b, i, j in np.ndindex(2, 2, 2):  # of the size of the tiles: nothing is resized
        at = b, slice(6 * i, 6 * i + 6), slice(6 * j, 6 * j + 6)
        pair = a[at].ravel(), EDGES[at].astype(float).ravel()
        x = np.concatenate(pair)
        for name in ("dense_0", "dense_1", "dense_2"):
            x = x @ params[name]["kernel"] + params[name]["bias"]
            x = np.maximum(x, 0) if name != "dense_2" else x
        norms.append(np.linalg.norm(x))
    ours = jax.jit(term())(LOGITS, EDGES, params=params)
    np.testing.assert_allclose(ours, np.mean(norms), rtol=1e-5)
    eager = term()(LOGITS, EDGES, params=params)
    np.testing.assert_allclose(ours, eager, rtol=1e-6)


@pytest.mark.parametrize("distance", ["parameters", "euclidean", "geodesic"])
def test_edge_logits_have_a_gradient(params, distance):
    slope = jax.grad(term(distance=distance))(jnp.asarray(LOGITS), EDGES, params=params)
    assert np.isfinite(slope).all() and np.abs(slope).max() > 1e-6


def test_the_authors_activation_has_none(params):
    parity = term(activation="log_softmax")
    value, slope = jax.value_and_grad(parity)(jnp.asarray(LOGITS), EDGES, params=params)
    assert (slope == 0).all()
    assert value == parity(3 * LOGITS, EDGES, params=params)


def test_the_network_is_frozen(params):
    slope = jax.grad(lambda p: term()(LOGITS, EDGES, params=p))(params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(slope))


def test_tiles_with_few_edges_do_not_count(params):
    edges = np.zeros(EDGES.shape, bool)
    edges[0, :6, :6] = np.arange(36).reshape(6, 6) < 8
    edges[1, 6:, 6:] = np.arange(36).reshape(6, 6) < 7
    value, slope = jax.value_and_grad(term(least_edges=8))(
        jnp.asarray(LOGITS), edges, params=params
    )
    alone = term(rows=1, columns=1)(
        LOGITS[:1, :6, :6], edges[:1, :6, :6], params=params
    )
    np.testing.assert_allclose(value, alone, rtol=1e-5)
    assert slope[0, :6, :6].any() and not slope[1].any()


def test_without_edges_the_term_is_zero_with_zero_gradient(params):
    value, slope = jax.value_and_grad(term(least_edges=8))(
        jnp.asarray(LOGITS), jnp.zeros(EDGES.shape, bool), params=params
    )
    assert value == 0 and (slope == 0).all()


def test_distances_of_a_scale_and_a_shift():
    theta = jnp.array([0.0, 2.0, 0.0, 0.0])
    np.testing.assert_allclose(distance_to_identity(theta, "parameters"), 2, rtol=1e-6)
    np.testing.assert_allclose(distance_to_identity(theta, "euclidean"), 0.3, rtol=1e-5)
    # The nearest rotation of a scale is none: what is left is the residual.
    geodesic = distance_to_identity(theta, "geodesic")
    np.testing.assert_allclose(geodesic, 0.1 * 0.3**2, rtol=1e-4)


def test_the_geodesic_distance_of_a_rotation_is_its_angle():
    for angle in (1e-3, 0.4, 2.0):
        c, s = np.cos(angle), np.sin(angle)
        turn = jnp.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], jnp.float32)
        np.testing.assert_allclose(geodesic_distance(turn), angle, rtol=1e-3)


@pytest.mark.parametrize("distance", [euclidean_distance, geodesic_distance, safe_norm])
@pytest.mark.parametrize("matrix", [np.eye(3), np.zeros((3, 3)), -np.eye(3)])
def test_gradients_are_finite_where_distances_have_none(distance, matrix):
    matrix = jnp.asarray(matrix, jnp.float32)
    slope = jax.grad(lambda m: jnp.sum(distance(m)))(matrix)
    assert np.isfinite(slope).all()


def test_other_options_and_shapes_are_refused(params):
    for options in (dict(activation="relu"), dict(distance="angle")):
        with pytest.raises(ValueError, match="expected"):
            term(**options)(LOGITS, EDGES, params=params)
    with pytest.raises(ValueError, match="go together"):
        term()(LOGITS, EDGES[:, :6], params=params)
    with pytest.raises(ValueError, match="cut tiles of 6"):
        term(tile=5)(LOGITS, EDGES, params=params)
