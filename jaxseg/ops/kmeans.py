"""Lloyd's k-means with k-means++ starts, compiled, of masked rows: `kmeans`."""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

# Of Lloyd's: the step, labels, centres, and whether labels have changed.
State: TypeAlias = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


class Clusters(NamedTuple):
    """What k-means found.

    Attributes:
        labels: [N] int32 cluster of each row; -1 of rows that do not count.
        centres: [K, D] float32 means of the clusters.
        inertia: [] float32 sum of squared distances of rows to their centres.
    """

    labels: jax.Array
    centres: jax.Array
    inertia: jax.Array


def kmeans(
    points: jax.Array,
    key: jax.Array,
    *,
    num_clusters: int,
    count: jax.Array | None = None,
    valid: jax.Array | None = None,
    restarts: int = 10,
    iterations: int = 100,
) -> Clusters:
    """Clusters rows; of several starts the one with the least inertia counts.

    Starts are drawn as in k-means++ (Arthur and Vassilvitskii 2007): each centre is a
    row, with a chance in proportion to its squared distance to the centres before it.
    Then rows take the nearest centre, the first of equals, and centres the mean of
    their rows, until nothing changes. A cluster that loses all rows keeps its centre.

    Args:
        points: [N, D] float.
        key: a typed key; the result is a function of it.
        num_clusters: K.
        count: [] int, how many of the K clusters to use, at least 1; all if None. Known
            when the program runs, not when it is compiled.
        valid: [N] bool, the rows that count; all if None.
        restarts: how many starts.
        iterations: of Lloyd's at most.

    Returns:
        The clusters; those beyond `count`, and all without a row, have centre 0.
    """
    points = points.astype(jnp.float32)
    if valid is None:
        valid = jnp.ones(len(points), bool)
    if count is None:
        count = jnp.asarray(num_clusters)
    used = jnp.arange(num_clusters) < count

    def one(key: jax.Array) -> Clusters:
        centres = _start(points, valid, key, num_clusters)
        return _lloyd(points, valid, centres, used, iterations)

    found = jax.vmap(one)(jax.random.split(key, restarts))
    best = jnp.argmin(found.inertia)
    return jax.tree.map(lambda x: x[best], found)


def _start(
    points: jax.Array, valid: jax.Array, key: jax.Array, num_clusters: int
) -> jax.Array:
    """Centres [K, D] by k-means++."""
    keys = jax.random.split(key, num_clusters)
    centres = jnp.zeros((num_clusters, points.shape[1]), jnp.float32)
    nearest = jnp.where(valid, jnp.inf, 0.0)

    def add(
        i: jax.Array, state: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        centres, nearest = state
        # Fewer different rows than clusters: all are at distance 0, and any will do.
        weights = jnp.where(jnp.any(nearest > 0), nearest, valid.astype(jnp.float32))
        weights = jnp.where(jnp.isinf(weights), 1.0, weights)  # the first centre
        index = jax.random.categorical(keys[i], jnp.log(weights))
        centre = jnp.where(valid[index], points[index], 0.0)
        distance = jnp.sum((points - centre) ** 2, axis=1)
        nearest = jnp.where(valid, jnp.minimum(nearest, distance), 0.0)
        return centres.at[i].set(centre), nearest

    centres, _ = jax.lax.fori_loop(0, num_clusters, add, (centres, nearest))
    return centres


def _lloyd(
    points: jax.Array,
    valid: jax.Array,
    centres: jax.Array,
    used: jax.Array,
    iterations: int,
) -> Clusters:
    def assign(centres: jax.Array) -> tuple[jax.Array, jax.Array]:
        distance = jnp.sum((points[:, None] - centres) ** 2, axis=-1)  # [N, K]
        distance = jnp.where(used, distance, jnp.inf)
        labels = jnp.where(valid, jnp.argmin(distance, axis=1), -1).astype(jnp.int32)
        return labels, jnp.sum(jnp.min(distance, axis=1), where=valid)

    def mean(labels: jax.Array, centres: jax.Array) -> jax.Array:
        members = labels[:, None] == jnp.arange(len(centres))
        number = jnp.sum(members, axis=0)[:, None]
        total = jnp.matmul(
            members.T.astype(jnp.float32), points, precision=jax.lax.Precision.HIGHEST
        )
        return jnp.where(number > 0, total / jnp.maximum(number, 1), centres)

    def go_on(state: State) -> State:
        step, labels, centres, _ = state
        centres = mean(labels, centres)
        new, _ = assign(centres)
        return step + 1, new, centres, jnp.any(new != labels)

    labels, _ = assign(centres)
    state = jnp.asarray(0), labels, centres, jnp.asarray(True)
    *_, centres, _ = jax.lax.while_loop(
        lambda state: state[3] & (state[0] < iterations), go_on, state
    )
    labels, inertia = assign(centres)
    return Clusters(labels, jnp.where(used[:, None], centres, 0.0), inertia)
