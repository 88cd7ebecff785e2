"""Masks of eigenvectors against slow loops over pixels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops import eigensegments as ops
from jaxseg.ops.resize import interpolation_matrix

eigensegments = jax.jit(
    ops.eigensegments, static_argnames=("size", "patch", "enlargement")
)
eigensegments_within = jax.jit(
    ops.eigensegments_within, static_argnames=("shape", "enlargement")
)
RNG = np.random.default_rng(0)


def by_loops(map_, size, patch):
    """Patches repeated; what they do not reach, from a resize of the whole grid."""
    (h, w), (height, width) = map_.shape, size
    out = np.zeros(size, bool)
    for y in range(height):
        for x in range(width):
            inside = y < h * patch and x < w * patch
            node = (
                (y // patch, x // patch)
                if inside
                else (y * h // height, x * w // width)
            )
            out[y, x] = map_[node] > 0
    return out


@pytest.mark.parametrize("size", [(17, 23), (16, 24), (11, 9)])
def test_nearest_repeats_patches_and_fills_the_rest(size):
    maps = RNG.normal(size=(2, 4, 6, 3)).astype(np.float32)
    ours = eigensegments(jnp.asarray(maps), size, patch=4, enlargement="nearest")
    for b in range(2):
        for k in range(3):
            expected = by_loops(maps[b, :, :, k], size, 4)
            np.testing.assert_array_equal(ours[b, :, :, k], expected)


def test_bilinear_thresholds_the_enlarged_vectors():
    maps = RNG.normal(size=(1, 3, 5, 2)).astype(np.float32)
    rows = interpolation_matrix(3, 12, align_corners=False)
    columns = interpolation_matrix(5, 20, align_corners=False)
    expected = np.einsum("Hh,Ww,bhwk->bHWk", rows, columns, maps) > 0
    ours = eigensegments(jnp.asarray(maps), (12, 20), patch=4)
    np.testing.assert_array_equal(ours, expected)
    whole = eigensegments(jnp.asarray(maps), (12, 20), patch=None)
    np.testing.assert_array_equal(whole, expected)


def test_beyond_the_grid_its_border_goes_on():
    maps = jnp.asarray(RNG.normal(size=(1, 3, 3, 2)), jnp.float32)
    inside = eigensegments(maps, (12, 12), patch=4)
    ours = np.asarray(eigensegments(maps, (14, 15), patch=4))
    np.testing.assert_array_equal(ours[:, :12, :12], inside)
    np.testing.assert_array_equal(ours[:, 12:, 2], ours[:, 11:12, 2].repeat(2, 1))
    np.testing.assert_array_equal(ours[:, :, 12:], ours[:, :, 11:12].repeat(3, 2))


@pytest.mark.parametrize("enlargement", ["bilinear", "nearest"])
def test_pictures_of_any_size_on_a_canvas_are_as_alone(enlargement):
    maps = jnp.asarray(RNG.normal(size=(2, 5, 6, 2)), jnp.float32)
    grid, size = jnp.array([[3, 6], [5, 2]]), jnp.array([[14, 25], [20, 9]])
    within = functools.partial(eigensegments_within, enlargement=enlargement)
    ours = within(maps, grid, grid * 4, size, (24, 32))
    for i, ((h, w), (height, width)) in enumerate(
        zip(grid.tolist(), size.tolist(), strict=True)
    ):
        alone = eigensegments(
            maps[i : i + 1, :h, :w], (height, width), patch=4, enlargement=enlargement
        )
        np.testing.assert_array_equal(ours[i, :height, :width], alone[0])
        assert not ours[i, height:].any() and not ours[i, :, width:].any()


def test_compiled_as_eager():
    maps = jnp.asarray(RNG.normal(size=(1, 3, 4, 2)), jnp.float32)
    compiled = eigensegments(maps, (13, 17), patch=4)
    np.testing.assert_array_equal(compiled, ops.eigensegments(maps, (13, 17), patch=4))


def test_without_structure_there_are_no_segments():
    assert not eigensegments(jnp.zeros((1, 3, 4, 2)), (12, 16), patch=4).any()


def test_an_unknown_enlargement_is_refused():
    with pytest.raises(ValueError, match="'bilinear' or 'nearest', got 'cubic'"):
        eigensegments(jnp.zeros((1, 2, 2, 1)), (4, 4), patch=2, enlargement="cubic")
