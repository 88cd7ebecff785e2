"""Pictures of several sizes at the top left of canvases of one: `inside`."""

import jax
import jax.numpy as jnp


def inside(size: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Which places of the canvases belong to their pictures.

    Args:
        size: int [B, 2], height and width of each picture, in pixels or patches.
        shape: (H, W) of the canvases; a constant of the program.

    Returns:
        bool [B, H, W].
    """
    height, width = shape
    is_row = jnp.arange(height) < size[:, :1]
    is_column = jnp.arange(width) < size[:, 1:]
    return is_row[:, :, None] & is_column[:, None, :]
