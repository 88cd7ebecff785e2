"""Areas and boundaries of drawn shapes, by hand and by a loop over pixels."""

import numpy as np
import pytest

from jaxseg.metrics.compactness import (
    boundary_edges,
    compactness,
    mean_of_classes,
    regions,
)


def drawn(*rows):
    """A map of the digits of some rows, "." is unlabelled."""
    return np.array([[255 if c == "." else int(c) for c in row] for row in rows])


def measured(labels, **options):
    found = regions(labels, num_classes=5, **options)
    return sorted(zip(*(values.tolist() for values in found), strict=True))


def test_a_square_has_a_quarter_of_pi():
    square = drawn("....", ".11.", ".11.", "....")
    assert measured(square) == [(1, 4, 8)]
    assert compactness(np.array([4]), np.array([8]))[0] == pytest.approx(np.pi / 4)


def test_a_thin_shape_has_less():
    assert measured(drawn("1111")) == [(1, 4, 10)]  # the picture's border counts
    assert compactness([4], [10])[0] == pytest.approx(16 * np.pi / 100)


def test_a_hole_has_a_boundary_too():
    assert measured(drawn("111", "1.1", "111")) == [(1, 8, 16)]
    assert measured(drawn("111", "121", "111")) == [(1, 8, 16), (2, 1, 4)]


def test_parts_hang_together_across_corners():
    corner = drawn("1.", ".1")
    assert measured(corner) == [(1, 2, 8)]
    apart = drawn("11.1", "11..")
    assert measured(apart) == [(1, 1, 4), (1, 4, 8)]
    assert measured(apart, whole=True) == [(1, 5, 12)]


def test_small_regions_are_left_out():
    assert measured(drawn("11.1", "11.."), min_pixels=2) == [(1, 4, 8)]
    assert measured(drawn("..", "..")) == []


def test_edges_are_those_of_a_loop():
    labels = np.random.default_rng(0).integers(0, 3, (7, 9))
    padded = np.pad(labels, 1, constant_values=-1)
    expected = np.zeros_like(labels)
    for y in range(7):
        for x in range(9):
            for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                expected[y, x] += padded[1 + y + dy, 1 + x + dx] != labels[y, x]
    np.testing.assert_array_equal(boundary_edges(labels), expected)


def test_turning_and_enlarging_change_nothing():
    labels = np.random.default_rng(1).integers(0, 2, (8, 8)).astype(np.uint8)
    assert measured(labels.T) == measured(labels)
    larger = np.kron(labels, np.ones((3, 3), np.uint8))
    values = [compactness(*regions(a, num_classes=2)[1:]) for a in (labels, larger)]
    np.testing.assert_allclose(np.sort(values[0]), np.sort(values[1]))


def test_a_class_has_the_mean_of_its_regions():
    found = regions(drawn("11.1111", "11..2.."), num_classes=4)
    means = mean_of_classes(found, num_classes=4)
    expected = [np.nan, (np.pi / 4 + 16 * np.pi / 100) / 2, np.pi / 4, np.nan]
    np.testing.assert_allclose(means, expected)


def test_no_pixel_has_no_compactness():
    assert np.isnan(compactness([0], [0])).all()
