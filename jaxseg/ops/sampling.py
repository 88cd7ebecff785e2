"""Drawing a few members of every group at random, with static shapes.

Whoever has the smallest random priorities is drawn: `smallest_in_groups`.
"""

from typing import Literal

import jax
import jax.numpy as jnp

Formulation = Literal["auto", "select", "sort"]
MOST_SELECTED = 100


def smallest_in_groups(
    groups: jax.Array,
    priority: jax.Array,
    *,
    num_groups: int,
    num_picks: int,
    formulation: Formulation = "auto",
) -> jax.Array:
    """Finds the members of each group with the smallest priorities, per row.

    With independent uniform priorities this draws without replacement.

    Args:
        groups: [B, N] int; ids outside [0, num_groups) belong to none.
        priority: [B, N] float32, finite; of equal ones the first in the row is first.
        num_groups: K.
        num_picks: V, how many of each group at most.
        formulation: "select" looks for one group after the other, "sort" sorts each row
            once; "auto" takes the former on CPUs for no more than `MOST_SELECTED`
            groups, where it is faster (`benchmarks.contrast`).

    Returns:
        [B, K, V] int32 indices into the row, by ascending priority; -1 where a group
        has fewer members.
    """
    if formulation == "auto":
        few = num_groups <= MOST_SELECTED and jax.default_backend() == "cpu"
        formulation = "select" if few else "sort"
    find = _select if formulation == "select" else _sort
    num_found = min(num_picks, groups.shape[1])
    picks = find(groups.astype(jnp.int32), priority, num_groups, num_found)
    return jnp.pad(
        picks, ((0, 0), (0, 0), (0, num_picks - num_found)), constant_values=-1
    )


def _select(
    groups: jax.Array, priority: jax.Array, num_groups: int, num_picks: int
) -> jax.Array:
    def of_group(group: jax.Array) -> jax.Array:
        scores = jnp.where(groups == group, -priority, -jnp.inf)
        found, index = jax.lax.top_k(scores, num_picks)
        return jnp.where(found > -jnp.inf, index, -1)  # [B, V]

    # One group at a time: a mask of all would be K times the row.
    picks = jax.lax.map(of_group, jnp.arange(num_groups, dtype=jnp.int32))
    return picks.swapaxes(0, 1)


def _sort(
    groups: jax.Array, priority: jax.Array, num_groups: int, num_picks: int
) -> jax.Array:
    _, length = groups.shape
    inside = (groups >= 0) & (groups < num_groups)
    groups = jnp.where(inside, groups, num_groups)
    index = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), groups.shape)
    groups, _, index = jax.lax.sort(
        (groups, priority, index), dimension=1, num_keys=2, is_stable=True
    )
    edges = jnp.arange(num_groups + 1, dtype=jnp.int32)
    starts = jax.vmap(lambda row: jnp.searchsorted(row, edges))(groups)
    wanted = starts[:, :-1, None] + jnp.arange(num_picks, dtype=jnp.int32)
    found = wanted < starts[:, 1:, None]
    safe = jnp.where(found, wanted, 0).reshape(len(groups), -1)
    picks = jnp.take_along_axis(index, safe, axis=1).reshape(wanted.shape)
    return jnp.where(found, picks, -1)
