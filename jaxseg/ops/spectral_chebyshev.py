"""Subspace iteration with a Chebyshev filter: a fixed number of products with M.

Zhou, Saad, Tiago and Chelikowsky 2006. A polynomial that is small between the smallest
and the least wanted eigenvalue and grows fast beyond is applied to a block of vectors;
it takes products of M with a wide block, and nothing is checked.
"""

import jax
import jax.numpy as jnp

from jaxseg.ops.spectral_basis import (
    Eigenpairs,
    combine,
    dot,
    gram_schmidt,
    ritz,
    round_up,
    start,
    without,
)
from jaxseg.ops.spectral_graph import Graph, product

DEGREE, ROUNDS = 8, 2
MORE = 7  # columns beside those wanted, at least


def fits(num_nodes: int, count: int) -> bool:
    """Whether the block is much smaller than the graph."""
    return 4 * round_up(count + MORE) < num_nodes


def largest(graph: Graph, count: int) -> Eigenpairs:
    """The largest eigenpairs of M but the constant vector's.

    Args:
        graph: of N nodes, for which `fits` is true.
        count: K.

    """
    block = start(graph, round_up(count + MORE))
    block = gram_schmidt(without(graph.constant, product(graph, block)))
    theta, block, images = _rotate(graph, block)
    for _ in range(ROUNDS):
        block = _filter(graph, theta, block, images)
        # Column after column: the filter leaves them nearly alike, of which their
        # products with each other would not tell enough.
        block = gram_schmidt(without(graph.constant, block))
        theta, block, images = _rotate(graph, block)
    theta, block, images = theta[..., :count], block[..., :count], images[..., :count]
    errors = jnp.linalg.norm(images - theta[..., None, :] * block, axis=-2)
    return Eigenpairs(theta, block, jnp.max(errors, axis=-1, initial=0.0))


def _rotate(graph: Graph, block: jax.Array):
    """theta, the eigenvectors of M within a block, and their products with M."""
    images = product(graph, block)
    theta, weights = ritz(dot(block, images))
    return theta, combine(block, weights), combine(images, weights)


def _filter(
    graph: Graph, theta: jax.Array, block: jax.Array, images: jax.Array
) -> jax.Array:
    """The Chebyshev polynomial of M on a block of which the images are known.

    It is flat from -1 to the least theta of the block. (Flat on less, it would grow
    faster than float32 keeps the lesser of the wanted vectors beside the first.)
    """
    least = jnp.clip(theta[..., -1, None, None], -0.9, 0.98)
    half, centre = (least + 1) / 2, (least - 1) / 2
    before, now = block, (images - centre * block) / half
    for _ in range(DEGREE - 1):
        image = product(graph, now) - centre * now
        before, now = now, 2 / half * image - before
    return now
