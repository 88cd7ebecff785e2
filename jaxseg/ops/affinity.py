"""How alike the nodes of a picture are: the graph of Deep Spectral Segmentation.

Melas-Kyriazi et al. 2022. A node is a position of a feature map; `affinity` gives the
weight of each pair, from their features and, where asked, from `colour_neighbours`.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Neighbours counted, and the weight of a position beside a colour: the authors' code.
NEIGHBOURS = ((20, 2.0), (10, 0.1))
# Nodes whose products with the others are made at a time, at least; how many times.
STRIP, MOST_STRIPS = 320, 10


def affinity(
    features: jax.Array,
    *,
    colours: jax.Array | None = None,
    colour_weight: jax.Array | float = 0.0,
    valid: jax.Array | None = None,
) -> jax.Array:
    """The weight of every pair of nodes of one picture.

        W = max(f f^T, 0) + lambda W_colour,    f of unit length.

    The authors' code divides the first term by its maximum, which is that of a node
    with itself, 1. Not differentiated.

    Args:
        features: [h, w, D]; a vector of zeros is like no other.
        colours: [h, w, 3] in [0, 1], if lambda is above 0; see `colour_neighbours`.
        colour_weight: [] lambda; 10 in the authors' matting, 0 otherwise.
        valid: bool [h, w]; the others are padding. None: all are valid.

    Returns:
        float32 [N, N], N = h w, symmetric, from 0; rows and columns of padding are 0.

    Raises:
        ValueError: if shapes do not fit.
    """
    h, w, d = features.shape
    _check_grid("colours", colours, (h, w, 3))
    _check_grid("valid", valid, (h, w))
    rows = _unit(lax.stop_gradient(features).reshape(h * w, d))
    if valid is not None:
        rows = jnp.where(valid.reshape(-1, 1), rows, 0.0)
    weights = _cosines(rows)
    if colours is not None:
        counts = colour_neighbours(lax.stop_gradient(colours), valid=valid)
        weights += colour_weight * counts
    return weights


def colour_neighbours(
    colours: jax.Array, *, valid: jax.Array | None = None
) -> jax.Array:
    """Counts how often two nodes are among each other's nearest by colour and place.

    For (k, s) of `NEIGHBOURS`: each node's k nearest, itself included, in (r, g, b,
    s x, s y) with x and y from 0 to 1 over the grid. A neighbour j found by i counts
    for (i, j) and for (j, i). Of equally near ones the first in the grid is taken.

    Args:
        colours: [h, w, 3] in [0, 1], at the size of the feature map.
        valid: bool [h, w]; padding finds none and is found by none.

    Returns:
        float32 [N, N], symmetric: 0, 1, 2, 3 or 4; 4 for a node with itself.
    """
    h, w, _ = colours.shape
    n = h * w
    is_valid = jnp.ones(n, bool) if valid is None else valid.reshape(n)
    y, x = np.meshgrid(np.linspace(0, 1, h), np.linspace(0, 1, w), indexing="ij")
    places = np.stack([x, y], axis=-1).reshape(n, 2).astype(np.float32)
    counts = jnp.zeros((n, n), jnp.float32)
    for k, scale in NEIGHBOURS:
        points = colours.reshape(n, 3).astype(jnp.float32)
        points = jnp.concatenate([points, scale * places], axis=1)  # [N, 5]
        distances = jnp.where(is_valid, _squared_distances(points), jnp.inf)
        found, nearest = lax.top_k(-distances, min(k, n))
        hits = (found > -jnp.inf) & is_valid[:, None]
        hits = hits.astype(jnp.float32)
        node = jnp.broadcast_to(jnp.arange(n)[:, None], nearest.shape)
        # Both at once: adding the transpose of all pairs took longer than the search.
        counts = counts.at[node, nearest].add(hits).at[nearest, node].add(hits)
    return counts


def _cosines(rows: jax.Array) -> jax.Array:
    """max(f f^T, 0) of rows f [N, D].

    On CPUs, where the product is what takes time, only strips from the diagonal to the
    right are multiplied, and what is below it is copied.
    """
    n = len(rows)
    is_cpu = jax.default_backend() == "cpu"
    strips = min(max(1, n // STRIP), MOST_STRIPS) if is_cpu else 1
    edges = [round(n * i / strips) for i in range(strips + 1)]
    weights = jnp.zeros((n, n), jnp.float32)
    for start, end in itertools.pairwise(edges):
        strip = jnp.matmul(rows[start:end], rows[start:].T, precision="highest")
        strip = jnp.maximum(strip, 0.0)
        weights = weights.at[start:end, start:].set(strip)
        weights = weights.at[end:, start:end].set(strip[:, end - start :].T)
    return weights


def _squared_distances(points: jax.Array) -> jax.Array:
    """[N, N] of points [N, D], summed coordinate by coordinate.

    As |a|^2 + |b|^2 - 2 a b, what is left of near points would be rounding.
    """
    n, d = points.shape
    total = jnp.zeros((n, n), jnp.float32)
    for coordinate in range(d):
        column = points[:, coordinate]
        total += jnp.square(column[:, None] - column)
    return total


def _unit(rows: jax.Array) -> jax.Array:
    rows = rows.astype(jnp.float32)
    length = jnp.linalg.norm(rows, axis=1, keepdims=True)
    return rows / jnp.maximum(length, 1e-12)


def _check_grid(name: str, array: jax.Array | None, shape: tuple[int, ...]) -> None:
    if array is not None and array.shape != shape:
        raise ValueError(
            f"{name} of shape {array.shape} beside a feature map of "
            f"{shape[0]}x{shape[1]}: it must be {shape}; resize it to the map"
        )
