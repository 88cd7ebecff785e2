"""Boxes and their overlap, of masks small enough to see."""

import numpy as np
import pytest

from jaxseg.metrics.localisation import box_iou, largest_component_box, object_boxes

LABEL = np.array(
    [
        [1, 1, 0, 0, 2, 2],
        [1, 1, 0, 2, 0, 0],
        [0, 0, 1, 0, 0, 255],
        [0, 0, 0, 0, 0, 1],
    ]
)


def boxes(label=LABEL, least_share=0.0):
    found = object_boxes(label, num_classes=3, background=0, least_share=least_share)
    return sorted(map(tuple, found.tolist()))


def test_overlap_is_that_of_squares_counted():
    others = np.array([[0, 0, 4, 4], [2, 2, 6, 6], [9, 9, 12, 12], [1, 1, 3, 3]])
    ours = box_iou(np.array([0, 0, 4, 4]), others)
    np.testing.assert_allclose(ours, [1, 4 / 28, 0, 4 / 16])
    assert box_iou(np.zeros(4), np.zeros((1, 4))) == 0
    assert box_iou(np.zeros(4), np.zeros((0, 4))).shape == (0,)


def test_things_are_components_of_a_class_across_corners():
    assert boxes() == [(0, 0, 3, 3), (3, 0, 6, 2), (5, 3, 6, 4)]


def test_small_things_do_not_count():
    assert boxes(least_share=3 / 24) == [(0, 0, 3, 3), (3, 0, 6, 2)]
    assert boxes(least_share=0.9) == [(0, 0, 3, 3)]


def test_nothing_but_background_has_no_thing():
    assert boxes(np.zeros((3, 4), int)) == []
    assert boxes(np.full((3, 4), 255)) == []


@pytest.mark.parametrize("mask, box", [(LABEL == 1, [0, 0, 3, 3]), (LABEL > 300, 0)])
def test_the_box_of_the_largest_component(mask, box):
    np.testing.assert_array_equal(largest_component_box(mask), box)
