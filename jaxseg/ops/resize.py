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
    b, h, w, d = x.shape
    height, width = shape
    if (h, w) == (height, width):
        return x
    rows = interpolation_matrix(h, height, align_corners=align_corners)
    columns = interpolation_matrix(w, width, align_corners=align_corners)
    # Columns first: when the map grows, the second and larger product is then a plain
    # matrix product over whole rows, with nothing to be transposed.
    # Accelerators would otherwise round float32 logits to fewer bits than the loss has.
    precision = lax.Precision.HIGHEST
    x = jnp.einsum("Ww,bhwd->bhWd", columns.astype(x.dtype), x, precision=precision)
    x = x.reshape(b, h, width * d)
    per_image = jnp.broadcast_to(rows.astype(x.dtype), (b, height, h))
    return jnp.matmul(per_image, x, precision=precision).reshape(b, height, width, d)


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
