"""Anchors of episodes, and labels at a map's size, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.data.labels import IGNORE
from jaxseg.losses.cross_entropy import seen_only
from jaxseg.methods.sazs import alignment

LABELS = np.array([[[0, 3, 2, 255], [2, 2, 1, -1]]])


def test_a_pair_is_everything_else_and_the_class():
    logits = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    ours = alignment.pair(logits, jnp.array([4, 2]), background=0)
    np.testing.assert_array_equal(ours[..., 0], logits[..., 0])
    np.testing.assert_array_equal(ours[0, ..., 1], logits[0, ..., 4])
    np.testing.assert_array_equal(ours[1, ..., 1], logits[1, ..., 2])


def test_only_the_class_told_and_the_background_can_win():
    logits = np.random.default_rng(1).normal(size=(2, 8, 8, 5)).astype(np.float32)
    winners = alignment.told(logits, jnp.array([4, 2]), background=1).argmax(axis=-1)
    assert set(np.unique(winners[0])) == {1, 4}
    assert set(np.unique(winners[1])) == {1, 2}
    bigger = logits[0, ..., 4] > logits[0, ..., 1]
    np.testing.assert_array_equal(winners[0] == 4, bigger)


def test_an_episode_is_its_class_against_all_others():
    ours = alignment.episode_labels(
        LABELS, jnp.array([2]), num_classes=4, void_as_others=False
    )
    np.testing.assert_array_equal(ours, [[[0, 0, 1, IGNORE], [1, 1, 0, IGNORE]]])


def test_the_authors_train_void_as_others():
    ours = alignment.episode_labels(
        LABELS, jnp.array([2]), num_classes=4, void_as_others=True
    )
    np.testing.assert_array_equal(ours, [[[0, 0, 1, 0], [1, 1, 0, 0]]])


def shrunk(labels, size, mode):
    shrink = jax.jit(
        alignment.shrink_labels, static_argnames=("size", "num_classes", "mode")
    )
    return shrink(jnp.asarray(labels), size=size, num_classes=4, mode=mode)


def test_subsampled_labels_are_the_first_of_each_cell():
    labels = np.random.default_rng(2).integers(0, 4, (2, 8, 16))
    ours = shrunk(labels, (2, 4), "subsample")
    np.testing.assert_array_equal(ours, labels[:, ::4, ::4])


def test_the_majority_is_what_most_pixels_of_a_cell_are():
    labels = np.random.default_rng(3).integers(0, 5, (2, 8, 8))
    labels[labels == 4] = 255
    ours = np.asarray(shrunk(labels, (4, 2), "majority"))
    for b, i, j in np.ndindex(ours.shape):
        cell = labels[b, 2 * i : 2 * i + 2, 4 * j : 4 * j + 4].ravel()
        ids, counts = np.unique(cell, return_counts=True)
        assert ours[b, i, j] == ids[counts.argmax()]


def test_cells_that_are_no_whole_pixels_have_no_majority():
    with pytest.raises(ValueError, match="9 x 8 does not divide into 4 x 4"):
        shrunk(np.zeros((1, 9, 8), int), (4, 4), "majority")


def test_unlabelled_episodes_cost_nothing():
    def loss(logits):
        return alignment.align(logits, jnp.full((1, 2, 2), IGNORE))

    value, gradient = jax.value_and_grad(loss)(jnp.ones((1, 2, 2, 2)))
    assert value == 0 and (gradient == 0).all()


def test_unseen_classes_are_no_anchors_of_the_multiclass_setting():
    logits = np.random.default_rng(4).normal(size=(1, 2, 4, 4)).astype(np.float32)
    labels = jnp.asarray(LABELS)

    def loss(logits):
        return alignment.align(*seen_only(logits, labels, (0, 1, 2)))

    gradient = jax.grad(loss)(jnp.asarray(logits))
    assert (gradient[..., 3] == 0).all() and (gradient[..., :3] != 0).any()
