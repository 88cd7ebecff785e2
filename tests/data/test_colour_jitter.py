"""Colours and blur, each against its formula written out."""

import colorsys

import numpy as np
import pytest
from scipy import ndimage

from jaxseg.data import colour_jitter

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
GREY = IMAGE @ np.array([0.299, 0.587, 0.114])
FACTORS = [0.0, 0.2, 1.0, 1.7]


def assert_near(found, expected, levels=1.0):
    assert found.dtype == np.uint8 and found.shape == IMAGE.shape
    np.testing.assert_allclose(found, np.clip(expected, 0, 255), atol=levels)


@pytest.mark.parametrize("factor", FACTORS)
def test_brightness_multiplies(factor):
    assert_near(
        colour_jitter.scale_brightness(IMAGE, factor), factor * IMAGE.astype(float)
    )


@pytest.mark.parametrize("factor", FACTORS)
def test_contrast_moves_from_the_mean_grey(factor):
    mean = GREY.mean()
    expected = mean + factor * (IMAGE.astype(float) - mean)
    assert_near(colour_jitter.scale_contrast(IMAGE, factor), expected, levels=2)


@pytest.mark.parametrize("factor", FACTORS)
def test_saturation_moves_from_each_pixels_grey(factor):
    grey = GREY[..., None]
    expected = grey + factor * (IMAGE.astype(float) - grey)
    assert_near(colour_jitter.scale_saturation(IMAGE, factor), expected, levels=2)


def test_grey_is_the_luma_three_times():
    assert_near(colour_jitter.to_grey(IMAGE), np.repeat(GREY[..., None], 3, 2))


@pytest.mark.parametrize("turn", [-0.2, -0.01, 0.0, 0.13])
def test_hue_is_turned_pixel_by_pixel(turn):
    found = colour_jitter.turn_hue(IMAGE, turn)
    steps = int(turn * 255) / 255
    for pixel, result in zip(IMAGE.reshape(-1, 3), found.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255))
        expected = colorsys.hsv_to_rgb((hue + steps) % 1, saturation, value)
        # HSV has 256 steps of hue: a sixth of the circle, 43 of them, spans 255 levels.
        np.testing.assert_allclose(result, np.multiply(expected, 255), atol=8)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_blur_is_nearly_gaussian(sigma):
    smooth = np.cumsum(IMAGE.astype(int) % 7, axis=1).astype(np.uint8)
    expected = ndimage.gaussian_filter(
        smooth.astype(float), (sigma, sigma, 0), mode="nearest"
    )
    assert_near(colour_jitter.blur(smooth, sigma), expected, levels=2.5)


def test_blur_spreads_a_point_by_sigma():
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    row = colour_jitter.blur(point, 1.5)[..., 0].sum(axis=0).astype(float)
    variance = (row * (np.arange(41) - 20) ** 2).sum() / row.sum()
    assert np.sqrt(variance) == pytest.approx(1.5, rel=0.1)


STRENGTHS = dict(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)


def test_jitter_applies_the_four_in_the_order_drawn():
    rng = np.random.default_rng(3)
    factors, turn = rng.uniform(0.2, 1.8, 3), rng.uniform(-0.2, 0.2)
    expected = IMAGE
    for i in rng.permutation(4):
        if i == 3:
            expected = colour_jitter.turn_hue(expected, turn)
        else:
            change = (
                colour_jitter.scale_brightness,
                colour_jitter.scale_contrast,
                colour_jitter.scale_saturation,
            )[i]
            expected = change(expected, factors[i])
    found = colour_jitter.jitter(IMAGE, np.random.default_rng(3), **STRENGTHS)
    np.testing.assert_array_equal(found, expected)


def test_no_strength_changes_colours_by_rounding_only():
    still = dict.fromkeys(STRENGTHS, 0.0)
    found = colour_jitter.jitter(IMAGE, np.random.default_rng(0), **still)
    assert_near(found, IMAGE.astype(float), levels=8)  # HSV and back


class Drawn:
    """A generator that gives the coins and amounts it was made with."""

    def __init__(self, coins, amounts):
        self.coins, self.amounts = np.where(coins, 0.0, 1.0), amounts

    def random(self, count):
        assert count == len(self.coins)
        return self.coins

    def uniform(self, low, high):
        return np.clip(self.amounts, low, high)


@pytest.mark.parametrize(
    ("coins", "expected"),
    [
        ((0, 0, 0, 0, 0), lambda x: x),
        ((1, 0, 0, 0, 0), lambda x: x + 20),
        ((0, 1, 1, 0, 0), lambda x: 1.3 * x),
        ((1, 1, 1, 0, 0), lambda x: 1.3 * np.clip(x + 20, 0, 255)),
        ((1, 1, 0, 0, 0), lambda x: 1.3 * np.clip(x + 20, 0, 255)),
    ],
)
def test_distortion_shifts_and_stretches_by_chance(coins, expected):
    found = colour_jitter.distort(IMAGE, Drawn(coins, (20, 1.3, 0.7, 0.08)))
    assert_near(found, expected(IMAGE.astype(float)), levels=1.3)


def test_distortion_turns_hue_and_thins_colours_in_hsv():
    found = colour_jitter.distort(IMAGE, Drawn((0, 0, 0, 1, 1), (0, 1, 0.6, 0.05)))
    for pixel, result in zip(IMAGE.reshape(-1, 3), found.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255))
        expected = colorsys.hsv_to_rgb((hue + 13 / 256) % 1, 0.6 * saturation, value)
        np.testing.assert_allclose(result, np.multiply(expected, 255), atol=8)


def test_distortion_depends_on_the_generator_alone():
    one, same, other = (
        colour_jitter.distort(IMAGE, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
