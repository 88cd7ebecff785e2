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
    resize_within,
    shrink_within,
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


SIZES = np.array([[7, 9], [5, 6], [1, 1]])
NEW_SIZES = np.array([[13, 17], [3, 5], [4, 1]])


def canvases(seed=0):
    """Three pictures of `SIZES` at the top left of noise that nobody may see."""
    rng = np.random.default_rng(seed)
    pictures = maps()[0]
    x = rng.normal(size=(3, 8, 11, 3)).astype(np.float32)
    for i, (h, w) in enumerate(SIZES):
        x[i, :h, :w] = pictures[:h, :w]
    return x


@pytest.mark.parametrize("align_corners", [True, False])
def test_pictures_on_canvases_are_resized_as_if_alone(align_corners):
    resize = jax.jit(resize_within, static_argnames=("shape", "align_corners"))
    ours = resize(canvases(), SIZES, NEW_SIZES, (14, 18), align_corners=align_corners)
    assert ours.shape == (3, 14, 18, 3)
    for i, ((h, w), (height, width)) in enumerate(zip(SIZES, NEW_SIZES, strict=True)):
        alone = resize_bilinear(
            maps()[:1, :h, :w], (height, width), align_corners=align_corners
        )
        np.testing.assert_allclose(ours[i, :height, :width], alone[0], atol=1e-6)


def test_what_is_around_a_picture_changes_nothing():
    for resize in (resize_within, shrink_within):
        options = dict(align_corners=False) if resize is resize_within else {}
        one, other = (
            resize(jnp.asarray(canvases(seed)), SIZES, NEW_SIZES, (14, 18), **options)
            for seed in (1, 2)
        )
        np.testing.assert_array_equal(one, other)


def test_shrinking_smoothly_equals_torch(torch):
    ours = shrink_within(canvases(), SIZES, NEW_SIZES, (14, 18))
    for i, ((h, w), (height, width)) in enumerate(zip(SIZES, NEW_SIZES, strict=True)):
        wanted = torch_interpolate(
            torch, maps()[:1, :h, :w], (height, width), mode="bilinear", antialias=True
        )
        np.testing.assert_allclose(ours[i, :height, :width], wanted[0], atol=1e-5)


def test_positions_in_large_pictures_are_exact():
    n, m = 12000, 23999
    row = np.arange(n, dtype=np.float32)[None, None, :, None]
    sizes = np.array([[1, n]]), np.array([[1, m]])
    ours = resize_within(jnp.asarray(row), *sizes, (1, m), align_corners=False)
    wanted = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
    np.testing.assert_allclose(ours[0, 0, :, 0], wanted, atol=1e-3)  # of 2^-10 steps


def test_gradients_reach_only_the_picture():
    def total(x):
        return jnp.sum(
            resize_within(x, SIZES, NEW_SIZES, (14, 18), align_corners=False)
        )

    gradient = np.array(jax.grad(total)(jnp.asarray(canvases())))
    for i, (h, w) in enumerate(SIZES):
        assert gradient[i, :h, :w].any()
        gradient[i, :h, :w] = 0
    assert not gradient.any()
