"""Blocks of vectors, as the iterative eigen-solvers keep them: start, orthonormalise.

Bases are made with products of matrices alone and small eigenproblems: Householder's QR
of a tall block goes through it column by column, several times.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.ops.eigh import eigh
from jaxseg.ops.spectral_graph import Graph

# Directions shorter than this, or than that share of the longest, are noise.
LEAST_LENGTH, LEAST_SHARE = 1e-6, 1e-3
# What a vector, orthogonalised once, keeps of its length the second time: if less, it
# was rounding, which lies within the very basis (Parlett 1980).
LEAST_KEPT = 0.7


# A product of a matrix with so many columns takes no longer than with one less on CPUs
# (their vectors hold as many numbers), and often takes half as long.
LANES = 8


class Eigenpairs(NamedTuple):
    """The largest eigenpairs of M but the constant vector's.

    Attributes:
        theta: [..., K], descending.
        vectors: u [..., N, K], orthonormal.
        residual: [...] the largest |M u - theta u|.
    """

    theta: jax.Array
    vectors: jax.Array
    residual: jax.Array


def round_up(width: int) -> int:
    """The next multiple of `LANES`."""
    return -(-width // LANES) * LANES


def dot(first: jax.Array, second: jax.Array) -> jax.Array:
    """Scalar products [..., P, R] of columns [..., N, P] and [..., N, R]."""
    return jnp.matmul(first.swapaxes(-1, -2), second, precision="highest")


def combine(vectors: jax.Array, weights: jax.Array) -> jax.Array:
    """Sums [..., N, R] of columns [..., N, P] with weights [..., P, R]."""
    return jnp.matmul(vectors, weights, precision="highest")


def without(constant: jax.Array, vectors: jax.Array) -> jax.Array:
    """Vectors [..., N, P] less their part along a unit vector [..., N]."""
    share = jnp.sum(constant[..., None] * vectors, axis=-2, keepdims=True)
    return vectors - constant[..., None] * share


def random(graph: Graph, width: int, number: jax.Array | int = 0) -> jax.Array:
    """Random vectors [..., N, P] of length about 1; 0 at nodes without neighbours.

    The key is fixed: what is found of a picture depends on no other and on no run.

    Args:
        graph: of N nodes.
        width: P.
        number: other vectors for another number.
    """
    n = graph.scale.shape[-1]
    key = jax.random.fold_in(jax.random.key(0), number)
    drawn = jax.random.normal(key, (n, width)) * n**-0.5
    return jnp.where(graph.constant[..., None] > 0, drawn, 0.0)


def start(graph: Graph, width: int) -> jax.Array:
    """Random orthonormal vectors [..., N, P], orthogonal to the constant one."""
    drawn = without(graph.constant, random(graph, width))
    return orthonormal(orthonormal(drawn)[0])[0]


def orthonormal(
    vectors: jax.Array, gram: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """An orthonormal basis of a block: X V L^-1/2 with X^T X = V L V^T.

    To rounding times the squared condition of the block; a second time to rounding.

    Args:
        vectors: X [..., N, P].
        gram: X^T X [..., P, P], if it is known.

    Returns:
        [..., N, P]; and, [..., P], which of them are 0, for directions that are noise.
    """
    gram = dot(vectors, vectors) if gram is None else gram
    squares, directions = eigh(gram)
    longest = jnp.max(squares, axis=-1, keepdims=True)
    is_noise = squares < jnp.maximum(LEAST_LENGTH**2, LEAST_SHARE**2 * longest)
    inverse = jnp.where(is_noise, 0.0, lax.rsqrt(jnp.where(is_noise, 1.0, squares)))
    return combine(vectors, directions * inverse[..., None, :]), is_noise


def gram_schmidt(vectors: jax.Array) -> jax.Array:
    """An orthonormal basis of a block however near to each other its columns are.

    Args:
        vectors: [..., N, P].

    Returns:
        [..., N, P]; 0 for a column that is 0 or a sum of those before it, to rounding.
    """

    def add(column: jax.Array, basis: jax.Array) -> jax.Array:
        vector = lax.dynamic_slice_in_dim(basis, column, 1, axis=-1)
        is_before = jnp.arange(basis.shape[-1]) < column
        before = jnp.where(is_before, basis, 0.0)
        vector = _to_length_one(vector, LEAST_LENGTH)
        for least in (LEAST_LENGTH, LEAST_KEPT):
            vector -= combine(before, dot(before, vector))
            vector = _to_length_one(vector, least)
        return lax.dynamic_update_slice_in_dim(basis, vector, column, axis=-1)

    return lax.fori_loop(0, vectors.shape[-1], add, vectors)


def extend(basis: jax.Array, vectors: jax.Array) -> jax.Array:
    """An orthonormal basis and what a block adds to it, however little that is.

    Args:
        basis: [..., N, Q], orthonormal; columns may be 0.
        vectors: [..., N, P].

    Returns:
        [..., N, Q + P]; 0 for a column that the basis holds, to rounding.
    """
    vectors = _to_length_one(vectors, LEAST_LENGTH)
    for least in (LEAST_LENGTH, LEAST_KEPT):
        vectors -= combine(basis, dot(basis, vectors))
        vectors = gram_schmidt(_to_length_one(vectors, least))
    return jnp.concatenate([basis, vectors], axis=-1)


def _to_length_one(vectors: jax.Array, least: float) -> jax.Array:
    """Of vectors [..., N, P]; those no longer than the least become 0."""
    length = jnp.linalg.norm(vectors, axis=-2, keepdims=True)
    return jnp.where(length > least, vectors / jnp.maximum(length, least), 0.0)


def ritz(
    within: jax.Array, count: int | None = None, *, triangle: str = "U"
) -> tuple[jax.Array, jax.Array]:
    """The largest eigenpairs of M within a basis.

    Args:
        within: Q^T M Q [..., m, m], of which one triangle is read.
        count: K; None: all m.
        triangle: which.

    Returns:
        theta [..., K], descending, and weights [..., m, K] of the basis.
    """
    theta, weights = eigh(within, triangle=triangle)
    return theta[..., ::-1][..., :count], weights[..., ::-1][..., :count]
