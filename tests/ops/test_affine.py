import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxseg.ops import affine

IMAGES = np.random.default_rng(0).random((3, 8, 12)).astype(np.float32)


def test_no_transform_changes_nothing():
    identity = affine.matrices(jnp.zeros((3, 4)))
    warped = affine.warp(jnp.asarray(IMAGES), identity)
    np.testing.assert_allclose(warped, IMAGES, atol=1e-5)


def test_a_whole_pixel_is_a_shift_and_outside_is_zero():
    # Of twelve columns one is 2 / 12 wide in coordinates from -1 to 1.
    parameters = jnp.array([[0.0, 0.0, 2 / 12 / affine.UNIT, 0.0]])
    warped = affine.warp(jnp.asarray(IMAGES[:1]), affine.matrices(parameters))
    np.testing.assert_allclose(warped[0, :, :-1], IMAGES[0, :, 1:], atol=1e-5)
    np.testing.assert_allclose(warped[0, :, -1], 0, atol=1e-5)


def test_warps_are_bilinear_samples():
    matrix = np.array([[0.9, 0.1, -0.2], [-0.2, 1.1, 0.15]], np.float32)
    _, h, w = IMAGES.shape
    expected = np.zeros((h, w))
    for i, j in np.ndindex(h, w):
        x, y = matrix @ [(2 * j + 1) / w - 1, (2 * i + 1) / h - 1, 1]
        place = [[((y + 1) * h - 1) / 2], [((x + 1) * w - 1) / 2]]
        padded = np.pad(IMAGES[0], 20)  # zero beyond, and half of it at the border
        expected[i, j] = ndimage.map_coordinates(padded, np.add(place, 20), order=1)[0]
    ours = jax.jit(affine.warp)(jnp.asarray(IMAGES[:1]), jnp.asarray(matrix)[None])
    np.testing.assert_allclose(ours[0], expected, atol=1e-5)


@pytest.mark.parametrize("index, place", [(0, (0, 0)), (1, (1, 1)), (3, (1, 2))])
def test_a_parameter_is_fifteen_percent(index, place):
    parameters = jnp.zeros(4).at[index].set(2.0)
    change = affine.matrices(parameters) - affine.matrices(jnp.zeros(4))
    expected = np.zeros((2, 3))
    expected[place] = 0.3
    np.testing.assert_allclose(change, expected, atol=1e-6)
