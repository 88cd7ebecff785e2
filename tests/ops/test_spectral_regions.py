"""Regions by k-means of eigenvectors: of vectors that are constant on known regions."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from jaxseg.ops import spectral_regions as ops
from jaxseg.ops.spectral_regions import border, count_by_gap, rayleigh

spectral_regions = jax.jit(ops.spectral_regions, static_argnames="num_regions")

KEY = jax.random.key(0)
TRUTH = np.zeros((8, 10), int)
TRUTH[2:5, 2:5] = 1
TRUTH[5:7, 6:9] = 2
VECTORS = np.array([[0.1, 0.1], [-0.4, 0.2], [0.2, -0.6]], np.float32)[TRUTH]


def same_parts(ours, truth):
    pairs = {(int(a), int(b)) for a, b in zip(ours.ravel(), truth.ravel(), strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_regions_are_those_on_which_the_vectors_are_constant():
    ours = spectral_regions(jnp.asarray(VECTORS), KEY, num_regions=3)
    assert same_parts(np.asarray(ours), TRUTH)


def test_the_region_at_the_border_is_zero_whatever_the_start():
    for seed in range(6):
        ours = spectral_regions(
            jnp.asarray(VECTORS), jax.random.key(seed), num_regions=3
        )
        np.testing.assert_array_equal(ours == 0, TRUTH == 0)


def test_padding_is_in_no_region_and_no_border():
    padded = jnp.pad(jnp.asarray(VECTORS), ((0, 3), (0, 2), (0, 0)))
    valid = jnp.pad(jnp.ones((8, 10), bool), ((0, 3), (0, 2)))
    ours = spectral_regions(padded, KEY, num_regions=3, valid=valid)
    assert same_parts(np.asarray(ours)[:8, :10], TRUTH)
    assert (ours[8:] == -1).all() and (ours[:, 10:] == -1).all()
    np.testing.assert_array_equal(border(valid)[:8, :10], border(valid[:8, :10]))
    assert border(valid).sum() == 2 * (8 + 10) - 4


def test_the_count_limits_the_regions():
    ours = spectral_regions(
        jnp.asarray(VECTORS), KEY, num_regions=5, count=jnp.asarray(2)
    )
    assert set(np.unique(ours)) == {0, 1}


def test_without_structure_there_is_one_region():
    ours = spectral_regions(jnp.zeros((4, 5, 3)), KEY, num_regions=4)
    assert (ours == 0).all()


def test_the_count_is_behind_the_largest_gap_but_the_first():
    values = jnp.array([0.0, 0.5, 0.55, 0.9, 0.95])  # gaps .5 .05 .35 .05
    assert count_by_gap(values) == 3
    assert count_by_gap(jnp.array([0.0, 0.1, 0.4, 0.5])) == 2


def test_eigenvalues_are_found_again_from_their_vectors():
    weights = np.random.default_rng(0).random((12, 12))
    weights += weights.T
    degree = np.diag(weights.sum(axis=1))
    values, vectors = scipy.linalg.eigh(degree - weights, degree)
    maps = jnp.asarray(vectors[:, :4].reshape(3, 4, 4))
    ours = rayleigh(maps.at[..., 3].set(0), jnp.asarray(weights))
    np.testing.assert_allclose(ours, [*values[:3], 1], atol=1e-5)
