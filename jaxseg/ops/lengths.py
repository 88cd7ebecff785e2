"""Vectors of length one: `unit_length`."""

import jax
import jax.numpy as jnp

EPSILON = 1e-12


def unit_length(x: jax.Array, *, least: float = 0.0) -> jax.Array:
    """Divides vectors [..., D] by their lengths; those shorter than EPSILON become 0.

    And by `least` where they are shorter than that.

    PyTorch's `normalize` divides those by EPSILON, which leaves an all-zero vector as
    it is, too, but multiplies its gradient by 1e12; here the gradient is zero.
    """
    squared = jnp.sum(x * x, axis=-1, keepdims=True)
    has_direction = squared > EPSILON**2
    # The square root's derivative at 0 is infinite, even where it is not chosen.
    length = jnp.sqrt(jnp.where(has_direction, squared, 1.0))
    return jnp.where(has_direction, x / jnp.maximum(length, least), 0.0)
