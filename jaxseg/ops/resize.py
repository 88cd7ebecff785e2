"""Resizing of maps and of label images, with PyTorch's conventions.

`jax.image.resize` has neither the align-corners convention nor PyTorch's nearest
neighbour, and it smooths when it shrinks; published networks depend on all three.

`resize_bilinear` and its neighbours resize whole arrays, to sizes that are constants of
the program; `resize_within` resizes pictures of sizes known at run time only, each at
the top left of its canvas.
"""

from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def interpolation_matrix(
    size: int, new_size: int, *, align_corners: bool
) -> np.ndarray:
    """The matrix that resizes a row of pixels linearly.

    Output pixel i lies at source position
        i (n - 1) / (m - 1)       with aligned corners (pixels are points),
        (i + 1/2) n / m - 1/2     otherwise (pixels are areas), clipped to [0, n - 1],
    and takes the two pixels around it, weighted by their nearness. Nothing is smoothed
    when m < n.

    Args:
        size: n, the pixels there are.
        new_size: m, the pixels wanted.
        align_corners: which of the two conventions.

    Returns:
        [m, n] float32; each row sums to one.
    """
    target = np.arange(new_size, dtype=np.float64)
    if align_corners:
        position = target * ((size - 1) / max(new_size - 1, 1))
    else:
        position = np.clip((target + 0.5) * size / new_size - 0.5, 0, size - 1)
    below = np.minimum(np.floor(position).astype(int), size - 1)
    above = np.minimum(below + 1, size - 1)
    weight = position - below

    matrix = np.zeros((new_size, size), np.float32)
    np.add.at(matrix, (np.arange(new_size), below), 1 - weight)
    np.add.at(matrix, (np.arange(new_size), above), weight)
    return matrix


def resize_bilinear(
    x: jax.Array, shape: tuple[int, int], *, align_corners: bool
) -> jax.Array:
    """Resizes maps linearly, as torch's `interpolate(mode="bilinear")`.

    Args:
        x: [B, h, w, D] float.
        shape: (H, W), larger or smaller; a constant of the program.
        align_corners: whether corner pixels stay corner pixels.

    Returns:
        [B, H, W, D] of x's dtype.
    """
    _, h, w, _ = x.shape
    height, width = shape
    if (h, w) == (height, width):
        return x
    rows = interpolation_matrix(h, height, align_corners=align_corners)
    columns = interpolation_matrix(w, width, align_corners=align_corners)
    return _resample(x, rows, columns)


def resize_within(
    x: jax.Array,
    size: jax.Array,
    new_size: jax.Array,
    shape: tuple[int, int],
    *,
    align_corners: bool,
) -> jax.Array:
    """Resizes pictures at the top left of canvases linearly, each to a size of its own.

    What a picture becomes depends on its own pixels only, and is what
    `resize_bilinear` makes of it alone.

    Args:
        x: [B, h, w, D] float canvases.
        size: int [B, 2], height and width of each picture in its canvas, 1 to 32767.
        new_size: int [B, 2], those wanted, in the same range.
        shape: (H, W) of the new canvases; a constant of the program.
        align_corners: whether corner pixels stay corner pixels.

    Returns:
        [B, H, W, D] of x's dtype; outside of a picture its last row and column go on.
    """
    height, width = shape
    rows = linear_taps(
        size[:, 0], new_size[:, 0], jnp.arange(height), align_corners=align_corners
    )
    columns = linear_taps(
        size[:, 1], new_size[:, 1], jnp.arange(width), align_corners=align_corners
    )
    return sample_linear(sample_linear(x, rows, axis=1), columns, axis=2)


Taps: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]


def linear_taps(
    size: jax.Array, new_size: jax.Array, pixels: jax.Array, *, align_corners: bool
) -> Taps:
    """Which two source pixels make an output pixel of a row; see the matrix above.

    Args:
        size: int [B], n of each row.
        new_size: int [B], m of each row.
        pixels: int [M] or [B, M], the output pixels i wanted; beyond m the last.
        align_corners: which of the two conventions.

    Returns:
        below int32 [B, M], above int32 [B, M], and the weight of the latter, float32.
    """
    n, m = size[:, None], new_size[:, None]
    pixels = jnp.clip(pixels, 0, m - 1)
    # Positions are fractions of whole numbers: no rounding, however large the picture.
    if align_corners:
        numerator, denominator = pixels * (n - 1), jnp.maximum(m - 1, 1)
    else:
        numerator = jnp.clip((2 * pixels + 1) * n - m, 0, 2 * m * (n - 1))
        denominator = 2 * m
    below = numerator // denominator
    weight = (numerator - below * denominator) / denominator
    return below, jnp.minimum(below + 1, n - 1), weight.astype(jnp.float32)


def sample_linear(x: jax.Array, taps: Taps, *, axis: int) -> jax.Array:
    """Mixes the two source pixels of `linear_taps` along axis 1 or 2 of [B, h, w, D].

    Gathering beats the products of `resize_bilinear` by far on processors, where the
    matrices would differ from picture to picture.
    """
    below, above, weight = taps
    take = jax.vmap(lambda x, index: jnp.take(x, index, axis=axis - 1, mode="clip"))
    ends = [-1 if i == axis else 1 for i in (1, 2)]
    weight = weight.reshape(len(x), *ends, 1).astype(x.dtype)
    return take(x, below) * (1 - weight) + take(x, above) * weight


def shrink_within(
    x: jax.Array, size: jax.Array, new_size: jax.Array, shape: tuple[int, int]
) -> jax.Array:
    """As `resize_within`, smoothed where it shrinks, as Pillow and torch's `antialias`.

    The triangle that weighs the source pixels widens to n / m pixels each side;
    pixels are areas. Pillow rounds its result to whole grey levels, this does not.
    """
    rows = _triangles(size[:, 0], new_size[:, 0], x.shape[1], shape[0])
    columns = _triangles(size[:, 1], new_size[:, 1], x.shape[2], shape[1])
    precision = lax.Precision.HIGHEST
    x = jnp.einsum("bWw,bhwd->bhWd", columns, x, precision=precision)
    return jnp.einsum("bHh,bhWd->bHWd", rows, x, precision=precision)


def _triangles(
    size: jax.Array, new_size: jax.Array, length: int, new_length: int
) -> jax.Array:
    """The matrices [B, M, N] of `shrink_within`; rows sum to one."""
    n, m = size[:, None, None], new_size[:, None, None]
    target = jnp.minimum(jnp.arange(new_length)[:, None], m - 1)
    source = jnp.arange(length)
    scale = jnp.maximum(n / m, 1.0)
    distance = jnp.abs((2 * target + 1) * n - (2 * source + 1) * m) / (2 * m)
    weight = jnp.maximum(1 - distance / scale, 0) * (source < n)
    return weight / jnp.sum(weight, axis=-1, keepdims=True)


def bicubic_matrix(size: int, new_size: int, *, offset: float = 0.0) -> np.ndarray:
    """The matrix that resizes a row of pixels by cubic convolution, a = -3/4.

    Output pixel i lies at source position (i + 1/2) n / (m + offset) - 1/2 and takes
    the four pixels around it by Keys' kernel; beyond the border the last pixel goes on.
    Nothing is smoothed when m < n. `jax.image.resize` has a = -1/2.

    Args:
        size: n, the pixels there are.
        new_size: m, the pixels wanted.
        offset: 0.1 where DINO's code is followed, which adds it to m for the scale.

    Returns:
        [m, n] float32; each row sums to one.
    """
    position = (np.arange(new_size) + 0.5) * size / (new_size + offset) - 0.5
    below = np.floor(position).astype(int)
    matrix = np.zeros((new_size, size), np.float32)
    for tap in range(-1, 3):
        source = np.clip(below + tap, 0, size - 1)
        weight = _keys_kernel(np.abs(position - (below + tap)))
        np.add.at(matrix, (np.arange(new_size), source), weight)
    return matrix


def resize_bicubic(
    x: jax.Array, shape: tuple[int, int], *, offset: float = 0.0
) -> jax.Array:
    """Resizes maps by cubic convolution, as torch's `interpolate(mode="bicubic")`.

    Args:
        x: [B, h, w, D] float.
        shape: (H, W), larger or smaller; a constant of the program.
        offset: see `bicubic_matrix`; a map that has the shape already stays as it is.

    Returns:
        [B, H, W, D] of x's dtype.
    """
    _, h, w, _ = x.shape
    height, width = shape
    if (h, w) == (height, width):
        return x
    rows = bicubic_matrix(h, height, offset=offset)
    columns = bicubic_matrix(w, width, offset=offset)
    return _resample(x, rows, columns)


def resize_bicubic_antialias(x: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Resizes maps [B, h, w, D] as torch's bicubic `interpolate` with `antialias=True`.

    The kernel, of a = -1/2 here, widens with the scale when the map shrinks.
    """
    b, _, _, d = x.shape
    return jax.image.resize(
        x, (b, *shape, d), "cubic", antialias=True, precision=lax.Precision.HIGHEST
    )


def resize_nearest(labels: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Picks pixel floor(i n / m) for output pixel i, as torch's `mode="nearest"`.

    Args:
        labels: [B, h, w, ...] of any dtype; ids are copied, never mixed.
        shape: (H, W) of the result.

    Returns:
        [B, H, W, ...] of the same dtype.
    """
    _, h, w, *_ = labels.shape
    height, width = shape
    rows = np.arange(height) * h // height
    columns = np.arange(width) * w // width
    return labels[:, rows][:, :, columns]


def _keys_kernel(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    """The weight of a pixel at a distance from 0 to 2 (Keys 1981)."""
    d = distance
    near = ((a + 2) * d - (a + 3)) * d**2 + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, far)


def _resample(x: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
    """Multiplies maps [B, h, w, D] by [H, h] from above and [W, w] from the side."""
    b, h, _, d = x.shape
    height, width = len(rows), len(columns)
    # Columns first: when the map grows, the second and larger product is then a plain
    # matrix product over whole rows, with nothing to be transposed.
    # Accelerators would otherwise round float32 logits to fewer bits than the loss has.
    precision = lax.Precision.HIGHEST
    x = jnp.einsum("Ww,bhwd->bhWd", columns.astype(x.dtype), x, precision=precision)
    x = x.reshape(b, h, width * d)
    per_image = jnp.broadcast_to(rows.astype(x.dtype), (b, height, h))
    return jnp.matmul(per_image, x, precision=precision).reshape(b, height, width, d)
