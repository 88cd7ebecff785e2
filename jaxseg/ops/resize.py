"""Resizing of maps and of label images, with PyTorch's conventions.

`jax.image.resize` has neither the align-corners convention nor PyTorch's nearest
neighbour, and it smooths when it shrinks; published networks depend on all three.
"""

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
