"""Otsu's threshold on numbers worked out by hand, and against the plain definition."""

import numpy as np

from jaxseg.ops import otsu


def by_definition(grey):
    """Tries every level."""
    best, level = -1.0, 0
    for t in range(255):
        low, high = grey[grey <= t], grey[grey > t]
        if len(low) and len(high):
            shares = len(low) * len(high) / grey.size**2
            between = shares * (low.mean() - high.mean()) ** 2
            if between > best + 1e-9:
                best, level = between, t
    return level


def test_the_level_worked_out_by_hand():
    # t = 20: w 4/6, 2/6, means 12.5 and 200: 2/9 * 187.5^2 = 7812; t = 10: 3/6, 3/6,
    # means 10 and 140: 1/4 * 130^2 = 4225.
    grey = np.array([10, 10, 10, 20, 200, 200], np.uint8)
    assert otsu.threshold(grey) == 20


def test_it_is_the_definition():
    rng = np.random.default_rng(0)
    for _ in range(5):
        grey = rng.integers(0, 256, 40).astype(np.uint8)
        assert otsu.threshold(grey) == by_definition(grey)


def test_one_level_or_none_is_zero():
    assert otsu.threshold(np.full(9, 77, np.uint8)) == 0
    assert otsu.threshold(np.zeros((0, 0), np.uint8)) == 0


def test_grey_is_luma():
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)
    np.testing.assert_array_equal(otsu.grey_of(image), [[76, 150, 29, 9]])
