"""Finding the largest values of long rows without sorting them.

A sort of 40 000 scores for each of 1024 anchors takes far longer than the matrix
product that gave them, and `top_k` is no better for thousands of winners. `kth_largest`
instead finds the value that separates them; `nth_true` then finds single members of the
mask `values >= threshold`.
"""

import jax
import jax.numpy as jnp

WORD = 32  # bits that are counted at a time


def kth_largest(values: jax.Array, k: jax.Array) -> jax.Array:
    """The k-th largest value of each row, exactly.

    Settles two bits of the answer's binary representation in each of 16 passes, by
    counting how many values are at least as large as each of three candidates.

    Args:
        values: [..., N] float32, not NaN.
        k: [...] int32, from 1 to N.

    Returns:
        [...] float32; at least k of the row are not below it. For k < 1 it is NaN, and
        for k > N it is -inf, so that comparing with it remains right.
    """
    k = jnp.asarray(k, jnp.int32)

    def settle(number: jax.Array, known: jax.Array) -> jax.Array:
        step = jnp.uint32(1) << (30 - 2 * number).astype(jnp.uint32)
        candidates = [_nth_float(known + step * jnp.uint32(i)) for i in (1, 2, 3)]
        enough = [count >= k for count in _count_above(values, candidates)]
        return known + step * sum(each.astype(jnp.uint32) for each in enough)

    found = jax.lax.fori_loop(0, 16, settle, jnp.zeros(k.shape, jnp.uint32))
    # Where subnormal numbers count as zero, zero is found as the largest of them.
    zero, smallest_normal = jnp.uint32(1 << 31), jnp.uint32(0x8080_0000)
    is_subnormal = (found > zero) & (found < smallest_normal)
    return _nth_float(jnp.where(is_subnormal, zero, found))


def nth_true(mask: jax.Array, ranks: jax.Array) -> jax.Array:
    """Where in each row the true elements of the given ranks are.

    Args:
        mask: [..., N] bool.
        ranks: [..., K] int32, 0 for the first true element.

    Returns:
        [..., K] int32 indices into the row; any index where the rank is not below the
        number of true elements.
    """
    length = mask.shape[-1]
    padding = [(0, 0)] * (mask.ndim - 1) + [(0, -length % WORD)]
    bits = jnp.pad(mask, padding).reshape(*mask.shape[:-1], -1, WORD)
    places = jnp.left_shift(jnp.uint32(1), jnp.arange(WORD, dtype=jnp.uint32))
    words = jnp.sum(jnp.where(bits, places, 0), axis=-1, dtype=jnp.uint32)
    ends = jnp.cumsum(jax.lax.population_count(words).astype(jnp.int32), axis=-1)

    search = jnp.vectorize(
        lambda row, rank: jnp.searchsorted(row, rank, side="right"),
        signature="(w),(k)->(k)",
    )
    word = jnp.minimum(search(ends, ranks), words.shape[-1] - 1)
    found = jnp.take_along_axis(words, word, axis=-1)
    before = jnp.take_along_axis(ends, word, axis=-1)
    rank = ranks - (before - jax.lax.population_count(found).astype(jnp.int32))
    return jnp.minimum(word * WORD + _nth_bit(found, rank), length - 1)


def _nth_bit(words: jax.Array, rank: jax.Array) -> jax.Array:
    """The place of the set bit of a rank: is it in the lower half, and so on."""
    place = jnp.zeros(words.shape, jnp.int32)
    for width in (16, 8, 4, 2, 1):
        lower = words & jnp.uint32((1 << width) - 1)
        in_lower = jax.lax.population_count(lower).astype(jnp.int32)
        is_above = rank >= in_lower
        words = jnp.where(is_above, words >> width, lower)
        rank = jnp.where(is_above, rank - in_lower, rank)
        place = jnp.where(is_above, place + width, place)
    return place


def _count_above(values: jax.Array, thresholds: list[jax.Array]) -> list[jax.Array]:
    """How many of a row [..., N] are not below each threshold, [...] int32.

    As one reduction of several operands, which the compiler fuses with the comparisons;
    sums of their own would each write the comparison's result to memory, which takes 16
    times longer on a CPU.
    """
    above = [(values >= each[..., None]).astype(jnp.int32) for each in thresholds]
    return jax.lax.reduce(
        above,
        [jnp.int32(0)] * len(above),
        lambda sums, more: [x + y for x, y in zip(sums, more, strict=True)],
        [values.ndim - 1],
    )


def _nth_float(number: jax.Array) -> jax.Array:
    """The float32 of a place in the order of all of them, not below -inf."""
    number = jnp.maximum(number, jnp.uint32(0x007F_FFFF))
    is_positive = number >> 31 == 1
    bits = jnp.where(is_positive, number & jnp.uint32(0x7FFF_FFFF), ~number)
    return jax.lax.bitcast_convert_type(bits, jnp.float32)
