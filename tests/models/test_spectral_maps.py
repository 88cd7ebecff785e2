"""Eigenvectors of features, of a network that averages squares of pixels."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.heads.identity import Identity
from jaxseg.models.segmentor import Segmentor
from jaxseg.models.spectral_maps import SpectralMaps
from jaxseg.ops.spectral import spectral_maps

RNG = np.random.default_rng(0)


class Averages(nn.Module):
    """Means of squares of 4 and 8 pixels; padding changes none of another square."""

    def __call__(self, x, *, train):
        return tuple(nn.avg_pool(x, (s, s), (s, s)) for s in (4, 8))


NETWORK = Segmentor(backbone=Averages(), head=Identity(), num_classes=1)
MAPS = SpectralMaps(network=NETWORK, stage=0, count=2)


def pictures(b=2, height=24, width=32):
    """Coarse blocks of clear colours, the first of them a third of the picture."""
    blocks = RNG.integers(0, 256, (b, 2, 3, 3))
    return (
        blocks.repeat(height // 2, 1)
        .repeat(-(-width // 3), 2)[:, :, :width]
        .astype(np.uint8)
    )


def run(maps, image, size):
    return jax.jit(maps)({}, jnp.asarray(image), jnp.asarray(size, jnp.int32))


def close_up_to_sign(ours, expected):
    """Of two sides of about one size, rounding says which is the smaller."""
    sign = np.sign(np.sum(np.asarray(ours) * expected, axis=(1, 2), keepdims=True))
    np.testing.assert_allclose(sign * ours, expected, atol=1e-4)


def test_they_are_the_maps_of_the_features():
    image = pictures()
    maps, grid = run(MAPS, image, [[24, 32]] * 2)
    colours = (image - np.array(NETWORK.mean)) / np.array(NETWORK.std)
    squares = colours.reshape(2, 6, 4, 8, 4, 3).mean((2, 4))
    expected = jax.jit(lambda x: spectral_maps(x, count=2))(squares)
    close_up_to_sign(maps, np.asarray(expected))
    np.testing.assert_array_equal(grid, [[6, 8]] * 2)


def test_a_picture_on_a_larger_canvas_has_the_same_maps():
    image = pictures(b=1)
    alone, _ = run(MAPS, image, [[24, 32]])
    padded = np.pad(image, ((0, 0), (0, 8), (0, 16), (0, 0)), constant_values=99)
    maps, grid = run(MAPS, padded, [[26, 35]])  # what is over of squares does not count
    close_up_to_sign(maps[:, :6, :8], np.asarray(alone))
    assert not maps[:, 6:].any() and not maps[:, :, 8:].any()
    np.testing.assert_array_equal(grid, [[6, 8]])


def test_colours_count_where_a_weight_asks_for_them():
    image = pictures(b=1)
    plain, _ = run(MAPS, image, [[24, 32]])
    weighed = SpectralMaps(network=NETWORK, stage=0, count=2, colour_weight=10.0)
    coloured, _ = run(weighed, image, [[24, 32]])
    assert np.isfinite(coloured).all() and not np.allclose(coloured, plain, atol=1e-2)


def test_a_picture_of_no_size_has_no_structure():
    maps, grid = run(MAPS, pictures(b=1), [[0, 0]])
    assert not maps.any() and not grid.any()


def test_the_stride_is_that_of_the_stage():
    assert MAPS.stride == 4
    assert SpectralMaps(network=NETWORK, stage=-1).stride == 8


def test_a_stage_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="stage 2 of a backbone with 2 stages"):
        run(SpectralMaps(network=NETWORK, stage=2), pictures(), [[24, 32]] * 2)


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(count=0), "count is 0"),
        (dict(count=1, include_trivial=True), "behind the constant one"),
        (dict(colour_weight=-1.0), "colour_weight is -1.0, below 0"),
    ],
)
def test_numbers_out_of_range_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SpectralMaps(network=NETWORK, **fields)


def test_a_canvas_of_broken_squares_is_refused():
    with pytest.raises(ValueError, match="of 26x32: both sides must be multiples of 4"):
        run(MAPS, np.zeros((1, 26, 32, 3), np.uint8), [[26, 32]])


def two_things():
    image = np.full((1, 24, 32, 3), (20, 200, 30), np.uint8)
    image[:, 4:12, 4:12] = 250, 20, 20
    image[:, 12:20, 20:28] = 20, 30, 240
    return image


@pytest.mark.parametrize("num_regions", [3, 0])
def test_regions_are_things_and_what_is_around_them(num_regions):
    maps = SpectralMaps(network=NETWORK, stage=0, count=4)

    def cut(image, size):
        found, grid = maps({}, image, size)
        return maps.regions(
            {}, image, found, grid, jax.random.key(0), num_regions=num_regions
        )

    image, size = jnp.asarray(two_things()), jnp.array([[24, 32]])
    (regions,) = jax.jit(cut)(image, size)
    assert (regions[0] == 0).all() and (regions[:, -1] == 0).all()
    one, other = regions[1:3, 1:3], regions[3:5, 5:7]
    assert (one == one[0, 0]).all() and (other == other[0, 0]).all()
    assert sorted({0, int(one[0, 0]), int(other[0, 0])}) == [0, 1, 2]


def test_gaps_need_two_vectors():
    maps = SpectralMaps(network=NETWORK, stage=0, count=1)
    given = {}, pictures(), jnp.zeros((2, 6, 8, 1)), jnp.array([[6, 8]] * 2)
    with pytest.raises(ValueError, match="at least two.*count 1"):
        maps.regions(*given, jax.random.key(0), num_regions=0)
