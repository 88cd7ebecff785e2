"""Which examples of a batch are pictures to be scored: `scored`.

Measures that average over pictures, not over pixels, must know.
"""

import jax
import jax.numpy as jnp


def scored(
    truth: jax.Array, size: jax.Array | None, *, with_unlabelled: bool
) -> jax.Array:
    """Tells which examples take part in an average over pictures.

    Args:
        truth: [B, H, W] true ids, -1 where unlabelled.
        size: [B, 2] of each picture, 0 for one that only fills up the batch; or None.
        with_unlabelled: whether a picture without a labelled pixel takes part; such a
            picture cannot be told from a filler but by its size.

    Returns:
        [B] bool.

    Raises:
        ValueError: if that size is needed and not given.
    """
    if not with_unlabelled:
        return jnp.any(truth >= 0, axis=(1, 2))
    if size is None:
        raise ValueError(
            "to score pictures without a labelled pixel, give the size of each "
            "picture, 0 for examples that fill up a batch; or set with_unlabelled=False"
        )
    return jnp.all(size > 0, axis=1)
