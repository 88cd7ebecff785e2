import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.metrics.boundary import boundary_maps
from jaxseg.metrics.object_size import (
    SIZES,
    BoundaryIoUBySize,
    IoUBySize,
    size_of_classes,
)
from tests.metrics.maps import count_all, labels, pair


def slow_counts(truth, prediction, counted, num_classes):
    """Their evaluator: for each size of a picture, only its classes and class 0.

    `counted` are the truth and the prediction that are counted, the whole or strips.
    """
    counts = np.zeros((3, 4, num_classes), int)
    for picture, *maps in zip(truth, *counted, strict=True):
        whole = np.sum(picture < num_classes)
        sizes = {}
        for c in range(1, num_classes):
            if area := np.sum(picture == c):
                share = np.ceil(100 * area / whole)
                sizes[c] = 0 if share <= 5 else 1 if share <= 25 else 2 + (share > 50)
        for size in set(sizes.values()):
            classes = [0, *(c for c in sizes if sizes[c] == size)]
            t, p = (np.where(np.isin(picture, classes), m, -1) for m in maps)
            for c in range(num_classes):
                counts[:, size, c] += np.array(
                    [(t == c).sum(), (p == c).sum(), ((t == c) & (p == c)).sum()]
                )
    return counts


@pytest.mark.parametrize("num_classes", [2, 3, 9])
def test_counts_equal_their_rule(num_classes):
    truth, prediction = pair(7, (6, 25, 20), num_classes)
    counts = jax.jit(IoUBySize(labels(num_classes)).count)(truth, prediction)
    expected = slow_counts(truth, prediction, (truth, prediction), num_classes)
    np.testing.assert_array_equal(counts, expected)


def test_strips_are_counted_by_the_size_of_the_whole():
    truth, prediction = pair(8, (6, 25, 20), 4)
    counts = BoundaryIoUBySize(labels(4), ratio=0.04).count(truth, prediction)
    strips = boundary_maps(truth, prediction, None, ratio=0.04, num_classes=4)
    expected = slow_counts(truth, prediction, map(np.asarray, strips), 4)
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize(
    "area, size", [(1, 0), (20, 0), (21, 1), (100, 1), (101, 2), (200, 2), (201, 3)]
)
def test_borders_between_sizes_of_400_pixels(area, size):
    areas = jnp.array([[400 - area, area]])
    np.testing.assert_array_equal(size_of_classes(areas, background=0), [[4, size]])


def test_a_huge_area_does_not_overflow():
    sizes = size_of_classes(jnp.array([[2**30, 2**30 - 1]]), background=None)
    np.testing.assert_array_equal(sizes, [[3, 2]])


def test_scores_worked_out_by_hand():
    truth = np.zeros((1, 10, 10), int)
    truth[0, 0, :5], truth[0, 5:, :] = 1, 2  # 5 pixels and 50
    prediction = truth.copy()
    prediction[0, 1, :5], prediction[0, 5] = 1, 1  # wrong on 5 of class 0, 10 of 2
    measure = IoUBySize(labels(4))
    scores = measure.scores(count_all(measure, truth, prediction))
    # To the small class 1 the background's 5 are false, those on class 2 are not.
    assert scores["small_iou"] == pytest.approx((5 / 10 + 40 / 45) / 2)
    assert scores["medium_large_iou"] == pytest.approx((40 / 50 + 40 / 45) / 2)
    assert np.isnan(scores["medium_small_iou"]) and np.isnan(scores["large_iou"])
    expected = [40 / 45, 5 / 10, np.nan, np.nan]
    np.testing.assert_allclose(scores["class_small_iou"], expected)


def test_without_a_background_every_class_has_a_size():
    truth = np.zeros((1, 4, 5), int)
    truth[0, 0, 0] = 1
    measure = IoUBySize(labels(2), background=None)
    scores = measure.scores(count_all(measure, truth, truth))
    np.testing.assert_array_equal(scores["class_large_iou"], [1, np.nan])
    np.testing.assert_array_equal(scores["class_small_iou"], [np.nan, 1])


def test_a_picture_of_background_alone_is_of_no_size():
    truth, prediction = np.zeros((1, 4, 5), int), np.ones((1, 4, 5), int)
    measure = IoUBySize(labels(2))
    totals = count_all(measure, truth, prediction)
    assert not any(np.any(each) for each in totals)
    assert all(np.isnan(measure.scores(totals)[f"{size}_iou"]) for size in SIZES)
