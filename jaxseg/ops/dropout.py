"""Dropout with half the random numbers: `dropout`.

Where a network is a few matrix products, drawing the mask is a good part of its time:
a uniform number a unit took a third of a generator's on a CPU (`benchmarks.synthesis`).
"""

import jax
import jax.numpy as jnp

_LEVELS = 2**16


def dropout(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """Sets units to zero at random and scales the others, so that means are kept.

    Two units share a random word of 32 bits. So `rate` is rounded to a multiple of
    1/65536, and the scale is that of the rounded one.

    Args:
        key: of the draw.
        x: [..., D] any float type.
        rate: probability that a unit becomes zero, a number in [0, 1].

    Returns:
        [..., D] in the type of x.

    Raises:
        ValueError: if `rate` is no probability.
    """
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"a dropout rate is within 0..1, got {rate}")
    num_dropped = round(_LEVELS * rate)  # of the levels
    if num_dropped == 0:
        return x
    if num_dropped == _LEVELS:
        return jnp.zeros_like(x)
    *leading, width = x.shape
    num_words = -(-width // 2)
    words = jax.random.bits(key, (*leading, num_words), "uint32")
    halves = jax.lax.bitcast_convert_type(words, "uint16")  # [..., D / 2, 2]
    levels = halves.reshape(*leading, 2 * num_words)[..., :width]
    scale = jnp.asarray(_LEVELS / (_LEVELS - num_dropped), x.dtype)
    return jnp.where(levels >= num_dropped, x * scale, jnp.zeros((), x.dtype))
