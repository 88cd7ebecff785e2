import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse.linalg

from jaxseg import sharding
from jaxseg.ops import spectral_krylov
from jaxseg.ops.affinity import affinity
from jaxseg.ops.spectral import METHODS, SOLVERS, eigenvectors, spectral_maps
from jaxseg.ops.spectral_basis import Eigenpairs
from jaxseg.ops.spectral_graph import normalise
from tests import xla

solve = jax.jit(eigenvectors, static_argnames=("count", "method"))
maps_of = jax.jit(
    spectral_maps,
    static_argnames=("count", "include_trivial", "method", "colour_weight"),
)


def picture(h=11, w=13, seed=0):
    """Features [h, w, 16] of four regions, each somewhat like itself."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w]
    region = (y > 0.4 * h).astype(int) + 2 * (x + 0.3 * y > 0.7 * w)
    prototypes = rng.normal(size=(4, 16))
    return (prototypes[region] + 0.3 * rng.normal(size=(h, w, 16))).astype(np.float32)


def parts(*sizes):
    """The affinity of a graph of parts, in each of which all are alike to a degree."""
    rng = np.random.default_rng(1)
    blocks = [rng.uniform(0.5, 1, (size, size)) for size in sizes]
    return scipy.linalg.block_diag(*[b + b.T for b in blocks]).astype(np.float32)


@pytest.fixture(scope="module")
def weights():
    return affinity(picture())


@pytest.fixture(scope="module")
def reference(weights):
    """The 8 smallest mu, and v, of (D - W) v = mu D v in float64."""
    w = np.asarray(weights, np.float64)
    d = np.diag(w.sum(axis=1))
    return scipy.linalg.eigh(d - w, d, subset_by_index=(0, 7))


@pytest.fixture(scope="module", params=METHODS)
def method(request):
    return request.param


@pytest.fixture(scope="module")
def spectrum(weights, method):
    return jax.tree.map(np.asarray, solve(weights, 4, method=method))


def test_values_are_scipys(spectrum, reference):
    np.testing.assert_allclose(spectrum.values, reference[0][:4], atol=1e-5)


def test_vectors_are_scipys(spectrum, reference):
    values, vectors = reference
    assert np.min(np.diff(values[:5])) > 1e-2  # so that each stands for itself
    vectors = vectors[:, :4] * np.sign(np.sum(vectors[:, :4] * spectrum.vectors, 0))
    np.testing.assert_allclose(spectrum.vectors, vectors, atol=1e-4)


def test_vectors_are_those_of_the_authors_call(weights):
    w = np.asarray(weights)
    d = np.diag(w.sum(axis=1))
    values, vectors = scipy.sparse.linalg.eigsh(d - w, k=4, sigma=0, which="LM", M=d)
    ours = solve(weights, 4)
    np.testing.assert_allclose(ours.values, values, atol=1e-5)
    cosines = np.abs(np.sum(vectors * np.asarray(ours.vectors) * w.sum(1)[:, None], 0))
    np.testing.assert_allclose(cosines, 1, atol=1e-4)


def test_vectors_have_length_one_in_d(spectrum, weights):
    d = np.sum(np.asarray(weights), axis=1)[:, None]
    gram = spectrum.vectors.T @ (d * spectrum.vectors)
    np.testing.assert_allclose(gram, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(
        spectrum.symmetric, np.sqrt(d) * spectrum.vectors, atol=1e-6
    )


def test_the_first_is_constant(spectrum):
    first = spectrum.vectors[:, 0]
    np.testing.assert_allclose(first, first[0], rtol=1e-5)
    assert first[0] > 0 and abs(spectrum.values[0]) < 1e-6


def test_the_smaller_side_is_above_zero(spectrum):
    above = np.mean(spectrum.vectors[:, 1:] > 0, axis=0)
    assert np.all((above > 0) & (above <= 0.5))


def test_the_residual_is_that_of_the_vectors(spectrum, weights):
    scale = np.asarray(weights, np.float64).sum(axis=1) ** -0.5
    normalised = weights * scale * scale[:, None]
    error = normalised @ spectrum.symmetric - spectrum.symmetric * (1 - spectrum.values)
    worst = np.max(np.linalg.norm(error, axis=0))
    assert worst < 1e-4
    assert spectrum.residual == pytest.approx(worst, abs=1e-5)


@pytest.mark.parametrize("method", ["auto", "eigh", "fast"])
def test_all_parts_of_a_graph_are_found(method):
    weights = parts(40, 50, 60, 30)
    found = solve(weights, 5, method=method)
    np.testing.assert_allclose(found.values[:4], 0, atol=1e-5)
    assert found.values[4] > 0.5
    for i, size in enumerate((40, 50, 60, 30)):
        start = (0, 40, 90, 150)[i]
        part = np.asarray(found.vectors[start : start + size, :4])
        np.testing.assert_allclose(
            part, np.broadcast_to(part[0], part.shape), atol=1e-4
        )


def test_auto_falls_back_on_eigh_where_the_residual_is_large(weights, monkeypatch):
    def fails_for_the_second(graph, count, sizes):
        *lead, n = graph.scale.shape
        values, vectors = jnp.full((*lead, count), 0.5), jnp.ones((*lead, n, count))
        return Eigenpairs(values, vectors, jnp.array([1e-5, 1.0]))

    monkeypatch.setattr(spectral_krylov, "largest", fails_for_the_second)
    graph = normalise(jnp.stack([weights, weights]))
    found = SOLVERS["auto"](graph, 3)
    exact = SOLVERS["eigh"](graph, 3)
    np.testing.assert_array_equal(found.theta[0], 0.5)
    np.testing.assert_array_equal(found.theta[1], exact.theta[1])
    np.testing.assert_array_equal(found.vectors[1], exact.vectors[1])


def test_auto_does_what_it_promises(weights):
    assert np.max(solve(weights, 4).residual) <= spectral_krylov.TOLERANCE


@pytest.mark.parametrize("count", [1, 9])
def test_any_number_of_vectors(weights, count):
    found = solve(weights, count, method="auto")
    exact = solve(weights, count, method="eigh")
    np.testing.assert_allclose(found.values, exact.values, atol=1e-4)


@pytest.mark.parametrize("nodes", [1, 9, 52])
def test_small_graphs(method, nodes):
    weights = affinity(picture(1, nodes))
    count = min(3, nodes)
    found = solve(weights, count, method=method)
    w = np.asarray(weights, np.float64)
    d = np.diag(w.sum(axis=1))
    values = scipy.linalg.eigh(d - w, d, eigvals_only=True)[:count]
    np.testing.assert_allclose(found.values, values, atol=1e-4)


def test_another_order_of_nodes_is_another_order_of_entries(method, weights):
    order = np.random.default_rng(2).permutation(len(weights))
    found = solve(weights[order][:, order], 4, method=method)
    plain = solve(weights, 4, method=method)
    np.testing.assert_allclose(
        np.abs(found.vectors), np.abs(plain.vectors)[order], atol=1e-4
    )


def test_leading_axes_are_kept(weights):
    other = affinity(picture(seed=5))
    batch = jnp.stack([weights, other, weights, other]).reshape(2, 2, *weights.shape)
    found = solve(batch, 4)
    assert found.vectors.shape == (2, 2, len(weights), 4)
    for i, each in ((0, weights), (1, other)):
        alone = solve(each, 4)
        np.testing.assert_allclose(found.vectors[1, i], alone.vectors, atol=1e-5)
        np.testing.assert_allclose(found.values[0, i], alone.values, atol=1e-6)


def test_no_graph_has_no_vectors():
    found = eigenvectors(jnp.zeros((0, 7, 7)), 2)
    assert found.vectors.shape == (0, 7, 2)


def test_nothing_is_differentiated():
    weights = affinity(picture(2, 3))
    gradient = jax.grad(lambda w: jnp.sum(solve(w, 3, method="eigh").vectors))
    assert not np.any(gradient(weights))


def test_more_vectors_than_nodes_are_refused():
    with pytest.raises(ValueError, match="N at least"):
        eigenvectors(jnp.ones((3, 3)), 4)
    with pytest.raises(ValueError, match="one of"):
        eigenvectors(jnp.ones((3, 3)), 2, method="power")


def test_signs_of_maps_are_the_same_by_all_methods():
    features = np.stack([picture(15, 15, seed) for seed in range(3)])
    exact = np.asarray(maps_of(features, count=3, method="eigh")) > 0
    for method in ("auto", "fast"):
        same = (np.asarray(maps_of(features, count=3, method=method)) > 0) == exact
        assert np.mean(same) >= 0.999


def test_maps_are_vectors_on_the_grid(weights):
    maps = maps_of(picture()[None], count=3)
    vectors = solve(weights, 4).vectors
    np.testing.assert_allclose(maps[0].reshape(-1, 3), vectors[:, 1:], atol=1e-5)


def test_the_constant_vector_counts_if_asked():
    features = picture(4, 5)[None]
    whole = maps_of(features, count=3, include_trivial=True)
    np.testing.assert_allclose(whole[..., 0], whole[0, 0, 0, 0], rtol=1e-4)
    np.testing.assert_allclose(whole[..., 1:], maps_of(features, count=2), atol=1e-5)


def test_a_picture_does_not_depend_on_its_batch():
    features = np.stack([picture(seed=seed) for seed in range(3)])
    # As users compile it: the older emitters of tests round by the batch's shape.
    as_users = jax.jit(
        spectral_maps, static_argnames="count", compiler_options=xla.AS_USERS
    )
    together = as_users(features, count=3)
    for i in range(3):
        np.testing.assert_allclose(
            as_users(features[i : i + 1], count=3)[0], together[i]
        )


@pytest.mark.parametrize("features", [np.ones, np.zeros])
def test_equal_features_have_no_segments(features, method):
    maps = maps_of(features((2, 8, 9, 4), np.float32), count=3, method=method)
    np.testing.assert_array_equal(maps, 0)


def test_one_colour_and_equal_features_have_no_segments():
    features, colours = np.ones((1, 6, 7, 4)), np.full((1, 6, 7, 3), 0.25)
    maps = maps_of(features, count=3, colours=colours, colour_weight=10.0)
    np.testing.assert_array_equal(maps, 0)


def test_colours_alone_have_segments():
    features, colours = np.ones((1, 8, 8, 4)), np.zeros((1, 8, 8, 3))
    colours[0, :, 5:] = 1.0
    maps = maps_of(features, count=1, colours=colours, colour_weight=10.0)
    np.testing.assert_array_equal(maps[0, :, :, 0] > 0, colours[0, ..., 0] > 0)


def test_padding_is_zero_and_changes_nothing(method):
    features, valid = np.full((2, 14, 15, 16), 3.0, np.float32), np.zeros((2, 14, 15))
    features[0, :11, :13], valid[0, :11, :13] = picture(), 1
    padded = maps_of(features, count=3, valid=valid.astype(bool), method=method)
    alone = maps_of(picture()[None], count=3, method="eigh")
    np.testing.assert_allclose(padded[0, :11, :13], alone[0], atol=1e-4)
    assert not np.any(padded * (1 - valid[..., None]))  # the second is all padding


@pytest.mark.parametrize("size", [(3, 3), (2, 2), (1, 1), (0, 4)])
def test_a_map_of_few_nodes_has_zeros_for_the_rest(size):
    h, w = size
    maps = np.asarray(maps_of(picture(6, 6)[None, :h, :w], count=5))
    assert maps.shape == (1, h, w, 5) and np.all(np.isfinite(maps))
    assert not np.any(maps[..., max(0, h * w - 1) :])


def test_no_pictures_have_no_maps():
    assert maps_of(picture()[None][:0], count=2).shape == (0, 11, 13, 2)


def test_compiled_or_not_is_the_same():
    features = picture(5, 6)[None]
    np.testing.assert_allclose(
        spectral_maps(features, count=2), maps_of(features, count=2), atol=1e-5
    )


def test_colours_without_a_weight_are_refused():
    with pytest.raises(ValueError, match="both or neither"):
        spectral_maps(picture()[None], colours=np.zeros((1, 11, 13, 3)))
    with pytest.raises(ValueError, match="both or neither"):
        spectral_maps(picture()[None], colour_weight=1.0)


@pytest.fixture(scope="module")
def on_eight():
    """A batch of 8 split over 8 devices: the compiled program, and its maps."""
    mesh = sharding.make_mesh(8)
    features = np.stack([picture(seed=seed) for seed in range(8)])
    placed = jax.device_put(features, sharding.batched(mesh))
    function = functools.partial(spectral_maps, count=3)
    with jax.set_mesh(mesh):
        program = jax.jit(function).lower(placed).compile()
    return program.as_text(), features, program(placed)


def test_eight_devices_find_the_same(on_eight):
    _, features, maps = on_eight
    np.testing.assert_allclose(maps, maps_of(features, count=3), atol=1e-5)


def test_eight_devices_exchange_no_arrays(on_eight):
    text, _, maps = on_eight
    assert "all-gather" not in text and "all-to-all" not in text
    assert len(maps.sharding.device_set) == 8
