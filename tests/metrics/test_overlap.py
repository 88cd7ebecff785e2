import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.metrics import overlap
from tests.metrics.maps import pair


def test_equals_a_loop_over_pictures_and_classes():
    truth, prediction = pair(num_classes=6)
    counts = jax.jit(overlap.overlap, static_argnames="num_classes")(
        *overlap.countable(truth, prediction, num_classes=6), num_classes=6
    )
    for i in range(len(truth)):
        counted = truth[i] != 255
        for c in range(6):
            is_true, is_predicted = truth[i] == c, (prediction[i] == c) & counted
            assert counts.truth[i, c] == is_true.sum()
            assert counts.prediction[i, c] == is_predicted.sum()
            assert counts.both[i, c] == (is_true & is_predicted).sum()


def test_a_prediction_outside_the_classes_costs_the_true_class():
    truth, prediction = jnp.array([[[0, 0, 1]]]), jnp.array([[[0, 9, -1]]])
    counts = overlap.overlap(truth, prediction, num_classes=2)
    np.testing.assert_array_equal(counts.truth, [[2, 1]])
    np.testing.assert_array_equal(counts.prediction, [[1, 0]])
    np.testing.assert_array_equal(counts.both, [[1, 0]])


@pytest.mark.parametrize("unlabelled", [255, -1, 5, -7, 1000])
def test_any_id_outside_the_classes_takes_a_pixel_out(unlabelled):
    truth, prediction = jnp.array([[[0, unlabelled]]]), jnp.array([[[1, 2]]])
    truth, prediction = overlap.countable(truth, prediction, num_classes=5)
    np.testing.assert_array_equal(truth, [[[0, -1]]])
    np.testing.assert_array_equal(prediction, [[[1, -1]]])


def test_histogram_of_ids_worked_out_by_hand():
    ids = jnp.array([[[0, 2], [2, 9]], [[-1, -5], [1, 3]]], jnp.int32)
    bins = overlap.histogram(ids, num_bins=3)
    np.testing.assert_array_equal(bins, [[1, 0, 2], [0, 1, 0]])


def test_pictures_are_added_up_in_every_array():
    counts = overlap.Overlap(*(jnp.arange(6).reshape(2, 3) + i for i in range(3)))
    sums = overlap.total(counts)
    np.testing.assert_array_equal(sums.truth, [3, 5, 7])
    np.testing.assert_array_equal(sums.both, [7, 9, 11])
