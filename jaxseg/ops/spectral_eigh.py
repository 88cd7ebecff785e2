"""All eigenvectors of a dense matrix: the exact eigen-solver."""

import jax.numpy as jnp

from jaxseg.ops.spectral_basis import Eigenpairs, ritz
from jaxseg.ops.spectral_graph import Graph, product


def largest(graph: Graph, count: int) -> Eigenpairs:
    """The largest eigenpairs of M but the constant vector's.

    Args:
        graph: of N nodes.
        count: K, below N.
    """
    scale, constant = graph.scale, graph.constant
    normalised = graph.weights * scale[..., None] * scale[..., None, :]
    # The constant vector's eigenvalue becomes -2, below all others: where eigenvalue 1
    # repeats (a graph in parts), what remains is orthogonal to the constant vector.
    normalised -= 3.0 * constant[..., None] * constant[..., None, :]
    theta, vectors = ritz(normalised, count, triangle="L")
    errors = product(graph, vectors) - theta[..., None, :] * vectors
    longest = jnp.max(jnp.linalg.norm(errors, axis=-2), axis=-1, initial=0.0)
    return Eigenpairs(theta, vectors, longest)
