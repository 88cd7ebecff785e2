import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops.resize import (
    bicubic_matrix,
    interpolation_matrix,
    resize_bicubic,
    resize_bicubic_antialias,
    resize_bilinear,
    resize_nearest,
)

SHAPES = [(16, 20), (13, 17), (3, 5), (7, 9), (1, 1)]


def maps(h=7, w=9):
    return np.random.default_rng(0).normal(size=(2, h, w, 3)).astype(np.float32)


def torch_interpolate(torch, x, shape, **options):
    x = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    y = torch.nn.functional.interpolate(x, shape, **options)
    return np.moveaxis(y.numpy(), 1, -1)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_bilinear_equals_torch(torch, shape, align_corners):
    x = maps()
    wanted = torch_interpolate(
        torch, x, shape, mode="bilinear", align_corners=align_corners
    )
    ours = resize_bilinear(jnp.asarray(x), shape, align_corners=align_corners)
    np.testing.assert_allclose(ours, wanted, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_bicubic_equals_torch(torch, shape):
    x = maps()
    wanted = torch_interpolate(torch, x, shape, mode="bicubic", align_corners=False)
    ours = resize_bicubic(jnp.asarray(x), shape)
    np.testing.assert_allclose(ours, wanted, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_antialiased_bicubic_equals_torch(torch, shape):
    x = maps()
    wanted = torch_interpolate(
        torch, x, shape, mode="bicubic", align_corners=False, antialias=True
    )
    ours = resize_bicubic_antialias(jnp.asarray(x), shape)
    np.testing.assert_allclose(ours, wanted, atol=1e-5)


@pytest.mark.parametrize("shape", [(16, 20), (5, 9), (7, 11)])
def test_bicubic_with_an_offset_equals_a_given_scale_in_torch(torch, shape):
    """DINO's code asks for a scale that is a little larger than needed."""
    x = maps()
    scale = tuple((n + 0.1) / m for n, m in zip(shape, x.shape[1:3], strict=True))
    x_torch = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    y = torch.nn.functional.interpolate(x_torch, scale_factor=scale, mode="bicubic")
    ours = resize_bicubic(jnp.asarray(x), shape, offset=0.1)
    np.testing.assert_allclose(ours, np.moveaxis(y.numpy(), 1, -1), atol=1e-5)
    same = resize_bicubic(jnp.asarray(x), (7, 9), offset=0.1)
    np.testing.assert_array_equal(same, x)


def test_bicubic_rows_sum_to_one():
    for new_size in (1, 5, 8, 13):
        np.testing.assert_allclose(bicubic_matrix(8, new_size).sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(bicubic_matrix(8, 8), np.eye(8), atol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_nearest_equals_torch(torch, shape):
    labels = np.random.default_rng(1).integers(0, 256, (2, 7, 9, 1), np.uint8)
    wanted = torch_interpolate(torch, labels.astype(np.float32), shape, mode="nearest")
    ours = resize_nearest(jnp.asarray(labels[..., 0]), shape)
    assert ours.dtype == jnp.uint8
    np.testing.assert_array_equal(ours, wanted[..., 0])


def test_a_row_of_two_pixels_by_hand():
    aligned = interpolation_matrix(2, 3, align_corners=True) @ [0.0, 6.0]
    np.testing.assert_allclose(aligned, [0, 3, 6])
    areas = interpolation_matrix(2, 4, align_corners=False) @ [0.0, 8.0]
    np.testing.assert_allclose(areas, [0, 2, 6, 8])


def test_gradient_is_the_transposed_matrix():
    x = jnp.asarray(maps(4, 1)[:1, :, :, :1])
    gradient = jax.jit(
        jax.grad(lambda x: resize_bilinear(x, (6, 1), align_corners=True)[0, 2, 0, 0])
    )(x)
    row = interpolation_matrix(4, 6, align_corners=True)[2]
    np.testing.assert_allclose(gradient[0, :, 0, 0], row, rtol=1e-6)


def test_same_size_is_untouched():
    x = jnp.asarray(maps())
    np.testing.assert_array_equal(resize_bilinear(x, (7, 9), align_corners=False), x)
