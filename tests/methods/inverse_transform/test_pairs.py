import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxseg.methods.inverse_transform import pairs
from jaxseg.ops import affine, scenes
from jaxseg.ops.edges import sobel_edges

KEY = jax.random.key(0)
N, TILE = 256, 28


@pytest.fixture(scope="module")
def true():
    labels = scenes.draw(jax.random.key(1), N, TILE)
    return pairs.outlines(labels, num_classes=7, size=TILE)


@pytest.fixture(scope="module")
def made(true):
    return jax.jit(pairs.make, static_argnames="still_share")(
        KEY, true, still_share=0.25
    )


def test_clean_pairs_are_warps_of_their_outlines(made):
    warped = affine.warp(made.true, affine.matrices(made.parameters))
    clean = np.asarray(made.is_clean)
    np.testing.assert_allclose(made.predicted[clean], warped[clean], atol=1e-5)
    other = np.abs(made.predicted - warped).max(axis=(1, 2))[~clean & made.counts]
    assert 0.05 < clean.mean() < 0.2 and (other > 1e-3).mean() > 0.8


def test_pairs_that_are_still_have_no_parameters(made):
    still = np.asarray(made.is_still)
    assert 0.15 < still.mean() < 0.35
    assert (made.parameters[still] == 0).all()
    moved = np.asarray(made.parameters)[~still]
    assert np.abs(moved).max() <= 2.5 and abs(moved.std() - 1) < 0.1
    both = still & np.asarray(made.is_clean)
    np.testing.assert_allclose(made.predicted[both], made.true[both], atol=1e-5)


def test_pairs_with_few_edges_do_not_count(made):
    numbers = np.sum(made.true, axis=(1, 2))
    np.testing.assert_array_equal(made.counts, numbers >= 8)
    assert (numbers == 0).any() and made.counts.any()


def test_outlines_of_a_tiles_size_are_sobel_edges_and_smaller_ones_are_enlarged():
    labels = scenes.draw(KEY, 3, TILE)
    edges = sobel_edges(labels, num_classes=7)
    ours = pairs.outlines(labels, num_classes=7, size=TILE)
    np.testing.assert_array_equal(ours, edges)
    enlarged = pairs.outlines(labels, num_classes=7, size=2 * TILE)
    assert enlarged.shape == (3, 2 * TILE, 2 * TILE)
    sums = np.sum(enlarged, axis=(1, 2)) / 4
    np.testing.assert_allclose(sums, edges.sum(axis=(1, 2)), rtol=0.1)


def test_a_blur_is_a_gaussian_of_half_a_pixel_to_one_and_a_half():
    edges = jnp.zeros((50, 21, 21)).at[:, 10, 10].set(1.0)
    blurred = np.asarray(pairs.blurred(KEY, edges))
    np.testing.assert_allclose(blurred.sum((1, 2)), 1, rtol=1e-5)
    peaks = blurred[:, 10, 10]
    limits = [
        ndimage.gaussian_filter(np.asarray(edges[0]), s, radius=4)[10, 10]
        for s in (1.5, 0.5)
    ]
    assert limits[0] <= peaks.min() and peaks.max() <= limits[1]


def test_what_is_erased_is_a_quarter():
    ones = jnp.ones((30, 20, 20))
    erased = np.asarray(pairs.erased(KEY, ones)) == 0
    assert (erased.sum((1, 2)) == 100).all()
    assert len({window.tobytes() for window in erased}) > 20


def test_weakened_edges_stay_between_gain_and_noise():
    ones = jnp.ones((50, 20, 20))
    weak = np.asarray(pairs.weakened(KEY, ones))
    assert weak.min() >= 0.6 and weak.max() <= 1.05
    assert (np.ptp(weak, axis=(1, 2)) <= 0.05 + 1e-6).all()
    assert np.ptp(weak.mean((1, 2))) > 0.2
