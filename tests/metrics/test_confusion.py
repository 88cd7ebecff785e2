import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from jaxseg.metrics import iou
from jaxseg.metrics.confusion import Confusion, confusion_matrix
from tests.metrics.maps import count_all, labels, pair, sums


def test_value_worked_out_by_hand():
    truth, predicted = (
        jnp.array([[0, 0, 1], [1, 2, 2]]),
        jnp.array([[0, 1, 1], [1, 0, 2]]),
    )
    counts = confusion_matrix(truth, predicted, num_classes=3)
    assert counts.dtype == jnp.int32
    np.testing.assert_array_equal(counts, [[1, 1, 0], [0, 2, 0], [1, 0, 1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_equals_a_loop_and_drops_ids_outside_the_classes(dtype):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 60, (2, 9, 11)).astype(dtype)
    predicted = rng.integers(0, 60, (2, 9, 11)).astype(dtype)
    truth[0, 0] = 255
    expected = np.zeros((50, 50), int)
    for t, p in zip(truth.flat, predicted.flat, strict=True):
        if t < 50 and p < 50:
            expected[t, p] += 1
    count = jax.jit(confusion_matrix, static_argnames="num_classes")
    np.testing.assert_array_equal(count(truth, predicted, num_classes=50), expected)


def test_negative_ids_do_not_wrap_around():
    counts = confusion_matrix(jnp.array([-1, 1]), jnp.array([1, -1]), num_classes=2)
    assert not np.any(counts)


def test_no_pixels_give_zeros():
    counts = confusion_matrix(jnp.zeros((0,), int), jnp.zeros((0,), int), num_classes=2)
    np.testing.assert_array_equal(counts, np.zeros((2, 2)))


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="same shape"):
        confusion_matrix(jnp.zeros((2, 2), int), jnp.zeros((4,), int), num_classes=2)


def test_equals_scikit_learn_on_labelled_pixels():
    truth, prediction = pair(num_classes=7)
    counted = truth != 255
    expected = sklearn.metrics.confusion_matrix(
        truth[counted], prediction[counted], labels=range(7)
    )
    counts = confusion_matrix(truth, prediction, num_classes=7)
    np.testing.assert_array_equal(counts, expected)


def test_one_pixel_more_than_2_to_the_24_is_counted():
    side = 4097
    truth, predicted = (np.zeros((1, side, side), np.uint8) for _ in range(2))
    truth[0, -1, 0], predicted[0, 0, :2] = 255, 1
    counts = jax.jit(confusion_matrix, static_argnames="num_classes")(
        truth, predicted, num_classes=2
    )
    assert side**2 - 3 > 2**24 and np.float32(2**24 + 1) == 2**24
    np.testing.assert_array_equal(counts, [[side**2 - 3, 2], [0, 0]])


def test_batches_add_up_beyond_int32():
    measure, counts = Confusion(labels(2)), np.array([[2**30, 1], [0, 0]], np.int32)
    totals = sums(*[counts] * 5)
    assert totals[0, 0] == 5 * 2**30
    assert measure.scores(totals)["class_iou"][0] == 5 * 2**30 / (5 * 2**30 + 5)


def test_clusters_may_be_more_than_classes():
    truth, clusters = jnp.array([0, 1, 1, 255]), jnp.array([3, 0, 4, 1])
    counts = confusion_matrix(truth, clusters, num_classes=2, num_clusters=4)
    np.testing.assert_array_equal(counts, [[0, 0, 0, 1], [1, 0, 0, 0]])


@pytest.mark.parametrize("absent_as_zero", [False, True])
def test_the_measure_gives_the_scores_of_its_labels(absent_as_zero):
    truth, prediction = pair(num_classes=4)
    split = labels(5, seen=(0, 2), unseen=(1, 3, 4))
    measure = Confusion(split, absent_as_zero)
    totals = count_all(measure, truth, prediction)
    expected = iou.scores(
        totals, seen=(0, 2), unseen=(1, 3, 4), absent_as_zero=absent_as_zero
    )
    for name, value in measure.scores(totals).items():
        np.testing.assert_array_equal(value, expected[name])
