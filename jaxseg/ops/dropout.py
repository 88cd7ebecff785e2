"""Dropout with a quarter of the random numbers: `dropout`.

Where a network is a few matrix products, drawing the mask is a good part of its time:
a uniform number a unit took two thirds of a generator's on a CPU
(`benchmarks.synthesis`, bfloat16).
"""

import jax
import jax.numpy as jnp

_LEVELS = 2**16


def dropout(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """Sets units to zero at random and scales the others, so that means are kept.

    Four units share a word of 32 bits. Each has a byte of it, and a neighbour's decides
    where that is not enough, in one case of 256: so much their masks depend on each
    other. `rate` is rounded to a multiple of 1/65536, as the scale is.

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
    words = jax.random.bits(key, (*leading, -(-width // 4)), "uint32")
    turned = words << 24 | words >> 8
    own, other = (_octets(each)[..., :width] for each in (words, turned))
    levels = own << 8 | other
    scale = jnp.asarray(_LEVELS / (_LEVELS - num_dropped), x.dtype)
    return jnp.where(levels >= num_dropped, x * scale, jnp.zeros((), x.dtype))


def _octets(words: jax.Array) -> jax.Array:
    """The four bytes of words [..., W], uint16 [..., 4 W]."""
    *leading, num_words = words.shape
    octets = jax.lax.bitcast_convert_type(words, "uint8")
    return octets.reshape(*leading, 4 * num_words).astype("uint16")
