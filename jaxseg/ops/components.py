"""Connected regions of label maps, on the device and in static shapes.

`first_pixels` finds them, `regions` numbers as many as there are places for, and
`adjacency` says which of them touch. Pixels are neighbours across corners, too. All
are functions of one map: `jax.vmap` makes them functions of a batch.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
_AHEAD = _AROUND[4:]  # each pair of neighbours once


class Regions(NamedTuple):
    """The first K regions of a map, by their first pixels in raster order.

    Attributes:
        ids: [H, W] int32 number of each pixel's region; -1 where unlabelled, and in
            regions beyond the first K.
        labels: [K] int32 class of each region; -1 where there are fewer.
        first: [K] int32 place of its first pixel in raster order; 0 where there are
            fewer.
    """

    ids: jax.Array
    labels: jax.Array
    first: jax.Array


def first_pixels(labels: jax.Array, *, num_classes: int) -> jax.Array:
    """Finds each pixel's region, named by the place of its first pixel.

    Every pixel takes the smallest name among its neighbours of the same class, tells
    it to the pixel that it was named after, and takes that one's name, until nothing
    changes: a snake takes a few rounds more than a square, not one for each pixel.

    Args:
        labels: [H, W] integer class ids; ids outside [0, C) are in no region.
        num_classes: C.

    Returns:
        [H, W] int32 places in raster order; H * W for pixels in no region.
    """
    h, w = labels.shape
    size = h * w
    labelled = (labels >= 0) & (labels < num_classes)
    kinds = jnp.pad(jnp.where(labelled, labels, -1), 1, constant_values=-1)
    own = jnp.arange(size, dtype=jnp.int32).reshape(h, w)

    def spread(names: jax.Array) -> jax.Array:
        padded = jnp.pad(names, 1, constant_values=size)
        best = names
        for step in _AROUND:
            same = _moved(kinds, step) == kinds[1:-1, 1:-1]
            best = jnp.minimum(best, jnp.where(same, _moved(padded, step), size))
        best = jnp.where(labelled, best, size)
        table = jnp.append(best.ravel(), size)  # the last: of pixels in no region
        table = table.at[names.ravel()].min(best.ravel())
        table = table[table][:-1]
        return table.reshape(h, w)

    def go_on(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        names, _ = state
        found = spread(names)
        return found, jnp.any(found != names)

    start = jnp.where(labelled, own, size)
    begin = (start, jnp.asarray(True))
    names, _ = jax.lax.while_loop(lambda state: state[1], go_on, begin)
    return names


def regions(labels: jax.Array, *, num_classes: int, budget: int) -> Regions:
    """Numbers the regions of a map in raster order of their first pixels.

    Args:
        labels: [H, W] integer class ids; ids outside [0, C) are in no region.
        num_classes: C.
        budget: K, how many regions there is place for.

    Returns:
        The first K regions; the pixels of all others are in none.
    """
    names = first_pixels(labels, num_classes=num_classes).ravel()
    size = len(names)
    is_first = names == jnp.arange(size)
    number = jnp.append(jnp.cumsum(is_first) - 1, -1).astype(jnp.int32)[names]
    (first,) = jnp.nonzero(is_first, size=budget, fill_value=size)
    exists = first < size
    first = jnp.where(exists, first, 0).astype(jnp.int32)
    return Regions(
        ids=jnp.where(number < budget, number, -1).reshape(labels.shape),
        labels=jnp.where(exists, labels.ravel()[first], -1).astype(jnp.int32),
        first=first,
    )


def adjacency(ids: jax.Array, *, budget: int) -> jax.Array:
    """Says which regions touch.

    Args:
        ids: [H, W] int32 of `Regions`; -1 is no region.
        budget: K.

    Returns:
        [K, K] float32, 1 where a pixel of one is a neighbour of a pixel of the other;
        symmetric, 0 on the diagonal.
    """
    padded = jnp.pad(ids, 1, constant_values=-1)
    touching = jnp.zeros((budget, budget), jnp.float32)
    for step in _AHEAD:
        other = _moved(padded, step)
        is_edge = (ids >= 0) & (other >= 0) & (ids != other)
        row = jnp.where(is_edge, ids, budget)
        touching = touching.at[row, other].max(1.0, mode="drop")
    return jnp.maximum(touching, touching.T)


def _moved(padded: jax.Array, step: tuple[int, int]) -> jax.Array:
    """Each pixel's neighbour in a direction, of a map with a border of one pixel."""
    h, w = padded.shape[0] - 2, padded.shape[1] - 2
    down, right = step
    return padded[1 + down : 1 + down + h, 1 + right : 1 + right + w]
