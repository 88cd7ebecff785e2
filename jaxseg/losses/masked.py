"""The mean of what counts."""

import jax
import jax.numpy as jnp


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """The mean of the values at the positions of a mask, and of all their channels.

    Args:
        values: [...] or [..., D].
        mask: [...] bool.

    Returns:
        [] float32; 0 with zero gradient if the mask is empty.
    """
    values = values.astype(jnp.float32)
    channels = values.size // mask.size
    mask = mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim))
    total = jnp.sum(jnp.where(mask, values, 0.0))
    return total / jnp.maximum(jnp.sum(mask) * channels, 1)
