"""Optimal assignment (Kuhn 1955) under jit: `assign`.

`optax.assignment.hungarian_algorithm` solves the same problem; here rows that are only
padding cost no time, which among 150 classes are most.
"""

import jax
import jax.numpy as jnp
from jax import lax


def assign(cost: jax.Array, num_rows: jax.Array | int) -> jax.Array:
    """Gives each row a column of its own, so that the sum of costs is smallest.

    Rows come in one after the other; each takes the shortest path, in costs reduced by
    the potentials u of rows and v of columns, over columns taken before to a free one
    (Crouse 2016, "On implementing 2D rectangular assignment algorithms").

    Args:
        cost: [N, M], of any float type; infinities and NaN are worse than the largest.
        num_rows: [] how many of the rows, from the first, take part; the time depends
            on these only.

    Returns:
        [N] int32 columns; -1 for rows that take no part and, if there are more rows
        than columns, for those that are best left out.
    """
    n, m = cost.shape
    cost = cost.astype(jnp.float32)
    is_finite = jnp.isfinite(cost)
    worst = jnp.max(cost, where=is_finite, initial=0.0)
    cost = jnp.where(is_finite, cost, worst + 1.0)
    # More rows than columns: those left out go to columns that are worse than all.
    if n > m:
        cost = jnp.pad(cost, ((0, 0), (0, n - m)), constant_values=worst + 2.0)

    def add(row, state):
        u, v, owner, column = state
        u, v, path, sink = _shortest_path(cost, row, u, v, owner)
        owner, column = _turn(path, row, sink, owner, column)
        return u, v, owner, column

    width = max(n, m)
    owner = jnp.full(width, -1, jnp.int32)  # row of each column
    column = jnp.full(n, -1, jnp.int32)
    state = jnp.zeros(n), jnp.zeros(width), owner, column
    *_, column = lax.fori_loop(0, num_rows, add, state)
    return jnp.where(column < m, column, -1)


def _shortest_path(cost, start, u, v, owner):
    """From a row to the nearest free column; new potentials, and who reached whom."""

    def is_taken(state):
        *_, last = state
        return (last < 0) | (owner[last] >= 0)

    def step(state):
        distance, path, done, last = state
        row = jnp.where(last < 0, start, owner[last])
        length = jnp.where(last < 0, 0.0, distance[last])
        new = length + cost[row] - u[row] - v
        nearer = ~done & (new < distance)
        distance = jnp.where(nearer, new, distance)
        path = jnp.where(nearer, row, path)
        last = jnp.argmin(jnp.where(done, jnp.inf, distance)).astype(jnp.int32)
        return distance, path, done.at[last].set(True), last

    state = (
        jnp.full(v.shape, jnp.inf),
        jnp.full(v.shape, -1, jnp.int32),
        jnp.zeros(v.shape, bool),
        jnp.int32(-1),
    )
    distance, path, done, sink = lax.while_loop(is_taken, step, state)
    slack = jnp.where(done, distance[sink] - distance, 0.0)
    u = u.at[start].add(distance[sink])
    # The sink's owner is -1, which would be the last row; its slack is 0.
    return u.at[owner].add(slack), v - slack, path, sink


def _turn(path, start, sink, owner, column):
    """Hands the columns of a path on by one, so that its first row has one, too."""

    def step(state):
        owner, column, free, _ = state
        row = path[free]
        return owner.at[free].set(row), column.at[row].set(free), column[row], row

    owner, column, _, _ = lax.while_loop(
        lambda state: state[-1] != start, step, (owner, column, sink, jnp.int32(-1))
    )
    return owner, column
