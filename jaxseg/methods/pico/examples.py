"""Which entries of a bank an anchor is compared with: `hardest`, `semi_hard`, `random`.

These are the definition, in index arrays: every candidate sorted, every draw by a key
of its own. At paper size that takes far longer than the rest of a step; `chosen` finds
the same sets by thresholds and takes draws in expectation.

An example is the harder the more it errs: a negative by a high similarity to the
anchor, a positive by a low one. So pass similarities as the hardness of negatives and
their opposite as that of positives. A choice passes no gradient.
"""

import jax
import jax.numpy as jnp
import numpy as np


def hardest(hardness: jax.Array, candidates: jax.Array, num_chosen: int) -> jax.Array:
    """The hardest candidates of every anchor.

    Args:
        hardness: [..., N] float32; of equal ones the first slot is first.
        candidates: [..., N] bool, which slots may be chosen.
        num_chosen: K.

    Returns:
        [..., K] int32 slots, hardest first; -1 beyond the number of candidates.
    """
    return _first(-hardness, candidates, num_chosen)


def random(keys: jax.Array, candidates: jax.Array, num_chosen: int) -> jax.Array:
    """Candidates of every anchor, uniformly without replacement.

    Args:
        keys: [..., N] independent uniform numbers; the smallest are drawn.
        candidates: [..., N] bool.
        num_chosen: K.

    Returns:
        [..., K] int32 slots, by ascending key; -1 beyond the number of candidates.
    """
    return _first(keys, candidates, num_chosen)


def semi_hard(
    hardness: jax.Array,
    keys: jax.Array,
    candidates: jax.Array,
    num_chosen: int,
    *,
    band: tuple[float, float],
) -> jax.Array:
    """Random ones of the hard candidates of every anchor.

    Args:
        hardness: [..., N] float32; of equal ones the first slot is harder.
        keys: [..., N] independent uniform numbers; the smallest are drawn.
        candidates: [..., N] bool.
        num_chosen: K.
        band: the shares of the candidates, counted from the hardest on, between which
            it is drawn: (0, 0.1) for the hardest tenth.

    Returns:
        [..., K] int32 slots, by ascending key; -1 beyond the size of the band.
    """
    count = jnp.sum(candidates, axis=-1)[..., None]
    first, last = (set_size(share, count, hardness.shape[-1]) for share in band)
    order = _order(-hardness, candidates)
    rank = jnp.argsort(order, axis=-1)
    return _first(keys, candidates & (rank >= first) & (rank < last), num_chosen)


def set_size(share: float, count: jax.Array, most: int) -> jax.Array:
    """How many a share of `count` candidates is: ceil(share count - 1e-6).

    Looked up in a table for counts up to `most`, as float32 would round some sizes up.
    """
    sizes = np.ceil(share * np.arange(most + 1) - 1e-6)
    return jnp.asarray(np.maximum(sizes, 0), jnp.int32)[count]


def _order(sort_by: jax.Array, candidates: jax.Array) -> jax.Array:
    """All slots, candidates first, by ascending key and then by slot."""
    sort_by = jax.lax.stop_gradient(sort_by)
    _, _, order = jax.lax.sort(
        (~candidates, sort_by, _slots(candidates.shape)), num_keys=2, is_stable=True
    )
    return order


def _first(sort_by: jax.Array, candidates: jax.Array, num_chosen: int) -> jax.Array:
    length = candidates.shape[-1]
    order = _order(jnp.broadcast_to(sort_by, candidates.shape), candidates)
    found = _slots(order.shape) < jnp.sum(candidates, axis=-1)[..., None]
    chosen = jnp.where(found, order, -1)[..., :num_chosen]
    padding = [(0, 0)] * (chosen.ndim - 1) + [(0, max(num_chosen - length, 0))]
    return jnp.pad(chosen, padding, constant_values=-1)


def _slots(shape: tuple[int, ...]) -> jax.Array:
    return jax.lax.broadcasted_iota(jnp.int32, shape, len(shape) - 1)
