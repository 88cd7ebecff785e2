"""The normalised affinity M = D^-1/2 W D^-1/2 of a graph, as the eigen-solvers use it.

Its largest eigenvalues theta are the smallest, 1 - theta, of the normalised Laplacian.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# Nodes with a smaller sum of weights have no neighbour: the authors' code.
LEAST_DEGREE = 1e-12


class Graph(NamedTuple):
    """Weights, and what normalises them; M itself is never written to memory.

    Attributes:
        weights: float32 [..., N, N], W: symmetric, from 0.
        scale: [..., N], D^-1/2; 1 for a node without neighbours.
        constant: [..., N], the eigenvector D^1/2 1 of M, of unit length, whose
            eigenvalue is 1; all zeros for a graph without edges.
    """

    weights: jax.Array
    scale: jax.Array
    constant: jax.Array


def normalise(weights: jax.Array) -> Graph:
    """Finds the degrees of a graph's nodes.

    Args:
        weights: float32 [..., N, N], symmetric, from 0.
    """
    degrees = jnp.sum(weights, axis=-1)
    is_isolated = degrees < LEAST_DEGREE
    scale = jnp.where(is_isolated, 1.0, jax.lax.rsqrt(degrees))
    root = jnp.where(is_isolated, 0.0, jnp.sqrt(degrees))
    length = jnp.linalg.norm(root, axis=-1, keepdims=True)
    return Graph(weights, scale, root / jnp.where(length > 0, length, 1.0))


def product(graph: Graph, vectors: jax.Array) -> jax.Array:
    """M x of vectors x [..., N, P] in float32, and [..., N, P]."""
    scale = graph.scale[..., None]
    return scale * jnp.matmul(graph.weights, scale * vectors, precision="highest")
