import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.data.labels import IGNORE
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.methods.cagnet import patches

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def test_patches_are_the_squares_of_a_map():
    maps = RNG.integers(0, 9, (2, 8, 10))
    found = patches.cut(jnp.asarray(maps), 3)
    assert found.shape == (2, 6, 3, 3)
    np.testing.assert_array_equal(found[1, 4], maps[1, 3:6, 3:6])


def test_tiling_undoes_cutting():
    maps = jnp.asarray(RNG.integers(0, 9, (2, 6, 9)))
    np.testing.assert_array_equal(patches.tile(patches.cut(maps, 3), 2, 3), maps)
    with pytest.raises(ValueError, match="give 8 a map"):
        patches.tile(patches.cut(maps, 3), 2, 4)


def test_the_pixels_of_a_patch_share_a_latent_code():
    latent = RNG.normal(size=(1, 2, 3, 5))
    repeated = patches.repeat(jnp.asarray(latent), 3)
    expected = np.kron(latent, np.ones((1, 3, 3, 1)))
    np.testing.assert_allclose(repeated, expected, rtol=1e-6)


def test_only_centres_count_in_the_loss():
    labels = jnp.asarray(RNG.integers(0, 4, (1, 6, 6)))
    logits = jnp.asarray(RNG.normal(size=(1, 6, 6, 4)), jnp.float32)

    @jax.grad
    def gradient(logits):
        return cross_entropy(logits, patches.centre_labels(labels, 3))

    reached = np.argwhere(jnp.any(gradient(logits) != 0, axis=-1))
    assert {(int(i), int(j)) for _, i, j in reached} == {
        (i, j) for i in (1, 4) for j in (1, 4)
    }
    centres = labels[:, 1::3, 1::3]
    expected = cross_entropy(logits[:, 1::3, 1::3], centres)
    ours = cross_entropy(logits, patches.centre_labels(labels, 3))
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


@pytest.mark.parametrize("side, size", [(2, 4), (3, 7)])
def test_patches_without_a_centre_are_refused(side, size):
    with pytest.raises(ValueError, match="odd side"):
        patches.centre_labels(jnp.zeros((1, size, size), jnp.int32), side)


@pytest.mark.parametrize("side", [3, 5])
def test_one_label_fills_its_patch(side):
    grid = np.full((side * side, side, side), IGNORE)
    grid.reshape(side * side, -1)[np.diag_indices(side * side)] = 7
    filled = patches.fill_ignored(jnp.asarray(grid), num_rounds=side // 2)
    assert jnp.all(filled == 7)


def test_what_is_ignored_altogether_stays_so():
    empty = jnp.full((3, 3), IGNORE)
    assert jnp.all(patches.fill_ignored(empty, num_rounds=1) == IGNORE)


def test_drawn_patches_hold_a_label_and_differ():
    maps = np.full((1, 12, 12), IGNORE)
    maps[0, ::3, :6:3] = np.arange(8).reshape(4, 2)
    drawn = patches.draw(KEY, jnp.asarray(maps), side=3, num_patches=10)
    assert drawn.shape == (10, 3, 3)
    assert sorted(drawn[:8, 0, 0].tolist()) == list(range(8))
    assert jnp.all(drawn[8:] == IGNORE)


def test_a_map_smaller_than_a_patch_has_none():
    drawn = patches.draw(KEY, jnp.zeros((2, 2, 9), int), side=3, num_patches=4)
    assert drawn.shape == (4, 3, 3) and jnp.all(drawn == IGNORE)


def test_distinct_labels_and_the_largest_by_counting():
    grid = RNG.integers(0, 5, (200, 3, 3))
    counts = np.stack([np.sum(grid == c, axis=(1, 2)) for c in range(5)], axis=1)
    num_distinct = patches.num_distinct(jnp.asarray(grid))
    np.testing.assert_array_equal(num_distinct, np.sum(counts > 0, axis=1))
    largest = patches.largest_class(jnp.asarray(grid))
    np.testing.assert_array_equal(counts[np.arange(200), largest], counts.max(axis=1))


def test_ignored_pixels_are_not_unseen():
    patch = jnp.full((1, 3, 3), IGNORE)
    is_unseen = jnp.asarray([False, True])
    options = dict(min_unseen=1, max_classes=9)
    assert not patches.is_acceptable(patch, is_unseen, **options)[0]
