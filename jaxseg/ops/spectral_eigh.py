"""All eigenvectors of a dense matrix: the exact eigen-solver."""

import jax
import jax.numpy as jnp

from jaxseg.ops.spectral_graph import Graph


def largest(graph: Graph, count: int) -> tuple[jax.Array, jax.Array]:
    """The largest eigenpairs of M but the constant vector's.

    Args:
        graph: of N nodes.
        count: K, below N.

    Returns:
        theta [..., K], descending, and u [..., N, K], orthonormal.
    """
    scale, constant = graph.scale, graph.constant
    normalised = graph.weights * scale[..., None] * scale[..., None, :]
    # The constant vector's eigenvalue becomes -2, below all others: where eigenvalue 1
    # repeats (a graph in parts), what remains is orthogonal to the constant vector.
    normalised -= 3.0 * constant[..., None] * constant[..., None, :]
    theta, vectors = jnp.linalg.eigh(normalised, symmetrize_input=False)
    return theta[..., ::-1][..., :count], vectors[..., ::-1][..., :count]
