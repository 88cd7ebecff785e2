"""Pooling as PyTorch does it: over a grid of cells, and of every second pixel."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


def adaptive_average_pool(x: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Averages a map over a grid of cells that covers it, as PyTorch does.

    Of n pixels, cell i of s goes from floor(i n / s) to ceil((i + 1) n / s): cells
    overlap where n is no multiple of s, and repeat pixels where n < s.

    Args:
        x: [B, h, w, D].
        shape: (s, s'), the number of cells down and across.

    Returns:
        [B, s, s', D] in the dtype of x, summed in float32.
    """
    _, h, w, _ = x.shape
    rows, columns = _averages(h, shape[0]), _averages(w, shape[1])
    # Both matrices are tiny, the map is not: it is read once and never copied.
    pooled = jnp.einsum(
        "sh,tw,bhwd->bstd",
        rows,
        columns,
        x.astype(jnp.float32),
        precision=jax.lax.Precision.HIGHEST,
    )
    return pooled.astype(x.dtype)


def _averages(size: int, cells: int) -> np.ndarray:
    """The matrix [cells, size] whose rows average the pixels of a cell."""
    matrix = np.zeros((cells, size), np.float32)
    for cell in range(cells):
        first, last = cell * size // cells, -(-(cell + 1) * size // cells)
        matrix[cell, first:last] = 1 / (last - first)
    return matrix


def halve_by_maximum(x: jax.Array, *, ceil_mode: bool) -> jax.Array:
    """The 3x3 maximum at stride 2 with a margin of one, which follows ResNet's stem.

    Args:
        x: [B, h, w, D].
        ceil_mode: whether 2n pixels become n + 1, by a last window that ends outside;
            otherwise n. Of 2n + 1 pixels both make n + 1.

    Returns:
        [B, h', w', D].
    """
    after = 2 if ceil_mode else 1
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, after), (1, after)))
