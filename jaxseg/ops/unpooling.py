"""The way back through a max pooling, without indices."""

import jax
import jax.numpy as jnp


def max_unpool(x: jax.Array, like: jax.Array) -> jax.Array:
    """Puts values where a 2x2 max pooling of stride 2 found its maxima.

    Equals torch's `max_unpool2d` with the indices of `max_pool2d`: of equal maxima, as
    after a ReLU, the first of the window counts, row by row; an odd last row or column
    was in no window and stays zero.

    Args:
        x: [B, h // 2, w // 2, D] values.
        like: [B, h, w, D] the map that was pooled; it gets no gradient.

    Returns:
        [B, h, w, D] in the dtype of x; three of four pixels are zero.

    Raises:
        ValueError: if the shapes do not belong together.
    """
    b, h, w, d = like.shape
    rows, columns = h // 2, w // 2
    if x.shape != (b, rows, columns, d):
        raise ValueError(
            f"values {x.shape} for the maxima of {like.shape}: they must be "
            f"{(b, rows, columns, d)}"
        )
    windows = like[:, : 2 * rows, : 2 * columns].reshape(b, rows, 2, columns, 2, d)
    windows = windows.transpose(0, 1, 3, 2, 4, 5).reshape(b, rows, columns, 4, d)
    first = jnp.argmax(windows, axis=3, keepdims=True)
    spread = jnp.where(first == jnp.arange(4)[:, None], x[:, :, :, None], 0)
    spread = spread.reshape(b, rows, columns, 2, 2, d).transpose(0, 1, 3, 2, 4, 5)
    spread = spread.reshape(b, 2 * rows, 2 * columns, d)
    return jnp.pad(spread, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))
