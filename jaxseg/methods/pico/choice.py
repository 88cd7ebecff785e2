"""What of a bank a step looks at, and which of it each anchor is compared with.

`examples` has the exact definition of the choices. Here a set of hardest examples is a
threshold, not a sort, and a random draw from a set is taken in expectation, which uses
the whole set and scales its sum by the share that would be drawn.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct

from jaxseg import sharding
from jaxseg.methods.pico.examples import set_size
from jaxseg.methods.pico.loss import Bank
from jaxseg.methods.pico.rule import ExampleRule
from jaxseg.ops.selection import kth_largest, nth_true


class Columns(struct.PyTreeNode):
    """What of the bank a step looks at.

    Attributes:
        values: [C, m, D].
        filled: [C, m] bool, which of them there are.
        squares: [C, m] float32, squared lengths, near 1 where there are any.
    """

    values: jax.Array
    filled: jax.Array
    squares: jax.Array


class Choice(struct.PyTreeNode):
    """A set of examples, and how many of it are drawn in expectation.

    Attributes:
        mask: [..., N] bool, the set.
        count: [...] int32, its size.
        drawn: [...] int32, how many would be drawn of it without replacement.
    """

    mask: jax.Array
    count: jax.Array
    drawn: jax.Array

    @property
    def share(self) -> jax.Array:
        """The probability of each member to be drawn, [...]; 1 for the empty set."""
        return jnp.where(self.count > 0, self.drawn / jnp.maximum(self.count, 1), 1.0)


def draw_columns(rng: jax.Array, banks: Sequence[Bank], num_columns: int) -> Columns:
    """Draws filled slots of every class, uniformly without replacement.

    Args:
        rng: of the draw.
        banks: [C, M, D] and [C, M] bool each; their slots are drawn from together.
        num_columns: of all classes, rounded down to equally many of each; 0 for all.

    Returns:
        The drawn slots first, in the banks' order, then unfilled ones for a class that
        has fewer.
    """
    filled = jnp.concatenate([there for _, there in banks], axis=1)
    num_classes, length = filled.shape
    size = num_columns // num_classes
    if not num_columns or size >= length:
        return _columns(jnp.concatenate([v for v, _ in banks], axis=1), filled)

    keys = jnp.where(filled, jax.random.uniform(rng, filled.shape), -1.0)
    count = jnp.sum(filled, axis=1, dtype=jnp.int32)
    threshold = kth_largest(keys, jnp.minimum(count, size))
    rank = jnp.arange(size, dtype=jnp.int32)
    drawn = filled & (keys >= threshold[:, None])
    slots = nth_true(drawn, jnp.broadcast_to(rank, (num_classes, size)))
    values, start = jnp.zeros((), banks[0][0].dtype), 0
    for bank, there in banks:
        inside = jnp.clip(slots - start, 0, there.shape[1] - 1)
        entries = jnp.take_along_axis(bank, inside[..., None], axis=1)
        values = jnp.where((slots >= start)[..., None], entries, values)
        start += there.shape[1]
    # Only what was drawn of a bank that is split over devices travels between them.
    return _columns(*sharding.replicate((values, rank < count[:, None])))


def _columns(values: jax.Array, filled: jax.Array) -> Columns:
    squares = jnp.einsum(
        "cmd,cmd->cm", values, values, preferred_element_type=jnp.float32
    )
    return Columns(values=values, filled=filled, squares=squares)


def choose(
    hardness: jax.Array, candidates: jax.Array, num_chosen: int, rule: ExampleRule
) -> Choice:
    """The set that a rule chooses from, of every anchor.

    Args:
        hardness: [..., N] float32, similarity for negatives, its opposite for
            positives.
        candidates: [..., N] bool.
        num_chosen: K, how many are drawn of the set.
        rule: `mode` and the share of semi_hard are read.
    """
    num_candidates = jnp.sum(candidates, axis=-1, dtype=jnp.int32)
    first, last, drawn = ranks(rule, num_candidates, num_chosen, candidates.shape[-1])
    mask = candidates
    if rule.mode in ("hardest", "semi_hard"):
        hardness = jnp.where(candidates, jax.lax.stop_gradient(hardness), -jnp.inf)
        mask &= hardness >= kth_largest(hardness, last)[..., None]
        if rule.mode == "semi_hard" and rule.band[0] > 0:
            mask &= hardness <= kth_largest(hardness, first + 1)[..., None]
        mask &= (drawn > 0)[..., None]
    count = jnp.sum(mask, axis=-1, dtype=jnp.int32)
    return Choice(mask=mask, count=count, drawn=drawn)


def ranks(
    rule: ExampleRule, num_candidates: jax.Array, num_chosen: int, most: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """From which rank of hardness to which a set reaches, and how many are drawn."""
    first, last = jnp.zeros_like(num_candidates), num_candidates
    if rule.mode == "semi_hard":
        first, last = (set_size(share, num_candidates, most) for share in rule.band)
    elif rule.mode == "hardest":
        last = jnp.minimum(last, num_chosen)
    drawn = last - first
    return first, last, drawn if rule.mode == "all" else jnp.minimum(drawn, num_chosen)


def products(rows: jax.Array, values: jax.Array) -> jax.Array:
    """[G, r, D] times [C, m, D]: [G, r, C, m], in the values' dtype, float32 sums."""
    return jnp.einsum(
        "grd,cmd->grcm",
        rows.astype(values.dtype),
        values,
        preferred_element_type=jnp.float32,
    )
