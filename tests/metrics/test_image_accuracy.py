import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.metrics.image_accuracy import ImageAccuracy
from tests.metrics.maps import count_all, labels, pair


def accuracy(truth, prediction, size=None, **options):
    measure = ImageAccuracy(labels(5), **options)
    totals = count_all(measure, np.asarray(truth), np.asarray(prediction), size)
    return measure.scores(totals)["image_accuracy"]


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_loop_over_pictures(seed):
    truth, prediction = pair(seed, (20, 8, 9), ignored=0.3)
    rights = []
    for t, p in zip(truth, prediction, strict=True):
        areas = np.bincount(p[t < 5], minlength=5)
        areas[0] = 0
        rights.append(areas.max() > 0 and np.argmax(areas) in t)
    assert accuracy(truth, prediction) == pytest.approx(np.mean(rights))


@pytest.mark.parametrize(
    "truth, prediction, expected",
    [
        ([1, 0, 0], [1, 2, 2], 0),  # the largest is not there
        ([1, 2, 0], [1, 2, 2], 1),
        ([2, 0, 0], [0, 0, 2], 1),  # elsewhere will do
        ([2, 0, 0], [2, 1, 0], 0),  # of a tie the first, 1
        ([1, 0, 0], [0, 0, 0], 0),  # background only
        ([0, 0, 0], [0, 0, 0], 0),
        ([1, 255, 255], [1, 2, 2], 1),  # unlabelled pixels are no area
    ],
)
def test_pictures_worked_out_by_hand(truth, prediction, expected):
    assert accuracy([[truth]], [[prediction]]) == expected


def test_without_a_background_class_zero_can_be_the_answer():
    assert accuracy([[[0, 0, 1]]], [[[0, 0, 2]]], background=None) == 1


def test_unlabelled_pictures_can_count_as_wrong_and_fillers_never():
    truth, prediction = np.ones((3, 2, 2), int), np.ones((3, 2, 2), int)
    truth[1:] = 255
    size = jnp.array([[2, 2], [2, 2], [0, 0]])
    assert accuracy(truth, prediction, size) == 1
    assert accuracy(truth, prediction, size, with_unlabelled=True) == 0.5


def test_no_picture_is_nan():
    assert np.isnan(accuracy(np.full((1, 2, 2), 255), np.ones((1, 2, 2), int)))
