"""Subspace iteration with a Chebyshev filter: a fixed number of products with M.

Zhou, Saad, Tiago and Chelikowsky 2006. A polynomial that is small between the smallest
and the least wanted eigenvalue and grows fast beyond is applied to a block of vectors;
nothing is checked. Of the last filter, the last few polynomials of the recurrence span
the answer, not the highest alone: they are there without a further product, and what
is left of unwanted vectors is less by an order of magnitude or two.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxseg.ops.spectral_basis import (
    Eigenpairs,
    combine,
    dot,
    extend,
    ritz,
    round_up,
    start,
)
from jaxseg.ops.spectral_graph import Graph, product

DEGREE, ROUNDS = 8, 2
LAST = 4  # polynomials of the last filter
MORE = 3  # columns beside those wanted, at least


def fits(num_nodes: int, count: int) -> bool:
    """Whether the basis of the last round is much smaller than the graph."""
    return 2 * LAST * round_up(count + MORE) < num_nodes


def largest(graph: Graph, count: int) -> Eigenpairs:
    """The largest eigenpairs of M but the constant vector's.

    Args:
        graph: of N nodes, for which `fits` is true.
        count: K.

    """
    block = product(graph, start(graph, round_up(count + MORE)))
    theta, block, images = _rotate(graph, [block])
    for number in range(ROUNDS):
        blocks = _filter(graph, theta, block, images)
        kept = LAST if number == ROUNDS - 1 else 1
        theta, block, images = _rotate(graph, blocks[-kept:])
    theta, block, images = theta[..., :count], block[..., :count], images[..., :count]
    errors = jnp.linalg.norm(images - theta[..., None, :] * block, axis=-2)
    return Eigenpairs(theta, block, jnp.max(errors, axis=-1, initial=0.0))


def _rotate(graph: Graph, blocks: Sequence[jax.Array]):
    """The largest theta and eigenvectors of M within blocks, and their products with M.

    Args:
        graph: of N nodes.
        blocks: [..., N, P] each.

    Returns:
        theta [..., P], vectors [..., N, P] and images [..., N, P].
    """
    # From the last, which is nearest, and column after column: the filter leaves them
    # nearly alike, of which their products with each other would not tell enough.
    constant = graph.constant[..., None]
    basis = functools.reduce(extend, reversed(blocks), constant)[..., 1:]
    images = product(graph, basis)
    theta, weights = ritz(dot(basis, images), blocks[0].shape[-1])
    return theta, combine(basis, weights), combine(images, weights)


def _filter(
    graph: Graph, theta: jax.Array, block: jax.Array, images: jax.Array
) -> list[jax.Array]:
    """Chebyshev polynomials of M, degrees 1 to 8, on a block with known images.

    They are flat from -1 to the least theta of the block. (Flat on less, they would
    grow faster than float32 keeps the lesser of the wanted vectors beside the first.)
    """
    least = jnp.clip(theta[..., -1, None, None], -0.9, 0.98)
    half, centre = (least + 1) / 2, (least - 1) / 2
    found = [block, (images - centre * block) / half]
    for _ in range(DEGREE - 1):
        image = product(graph, found[-1]) - centre * found[-1]
        found.append(2 / half * image - found[-2])
    return found[1:]
