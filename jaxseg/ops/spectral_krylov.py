"""Block Krylov: the largest eigenpairs of M from a few products, checked.

The basis is that of block Lanczos (Golub and Underwood 1977): start vectors from a
fixed key, their products with M, the products of those, each orthogonalised against all
before. M within the basis is small, and its eigenvectors give those of M (Rayleigh and
Ritz). How far those are off follows without a further product, so the basis grows until
that is little enough.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.ops.spectral_basis import (
    Eigenpairs,
    combine,
    dot,
    orthonormal,
    random,
    ritz,
    round_up,
    start,
    without,
)
from jaxseg.ops.spectral_graph import Graph, product

TOLERANCE = 1e-4
BLOCKS, MOST_CHECKS = 3, 5
STEPS = 48  # of Lanczos's iteration


class Sizes(NamedTuple):
    """How a basis grows.

    Attributes:
        width: P, columns of a block; an eigenvalue that repeats is found P times.
        blocks: how many are added before a check.
        checks: how many there are at most.
    """

    width: int
    blocks: int
    checks: int


class State(NamedTuple):
    """What a check leaves to the next blocks; m is the size of the whole basis.

    Attributes:
        check: [] int32, how many there were.
        basis: [..., N, m], orthonormal; zeros where blocks are still to come.
        within: [..., m, m], M within the basis; its upper triangle counts.
        block: [..., N, P], orthonormal: the next one.
        rest: [..., P, P], scalar products of what M made of the block before and the
            basis does not hold; what residuals are made of.
        theta: [..., K], descending.
        weights: [..., m, K] of the basis in the eigenvectors.
        residual: [...] the largest |M u - theta u|.
    """

    check: jax.Array
    basis: jax.Array
    within: jax.Array
    block: jax.Array
    rest: jax.Array
    theta: jax.Array
    weights: jax.Array
    residual: jax.Array


def checked(num_nodes: int, count: int) -> Sizes | None:
    """Looked at after every third block; None for what `eigh` is best for.

    A block has a column for each vector, so that none of the zeros of a graph of as
    many parts is missed.
    """
    width = round_up(count)
    checks = min(MOST_CHECKS, (num_nodes - 1) // (BLOCKS * width))
    return Sizes(width, BLOCKS, checks) if checks > 1 else None


def single(num_nodes: int, count: int) -> Sizes | None:
    """48 steps of Lanczos's iteration with one vector; None if that is too many."""
    return Sizes(1, STEPS, 1) if num_nodes > STEPS >= count else None


def largest(graph: Graph, count: int, sizes: Sizes) -> Eigenpairs:
    """The largest eigenpairs of M but the constant vector's.

    Pictures of a batch take as many blocks as the slowest of them needs.

    Args:
        graph: of N nodes.
        count: K.
        sizes: of the basis, for N and K.

    Returns:
        The residual is above `TOLERANCE` where the last check found it so.
    """
    *lead, n, _ = graph.weights.shape
    width, blocks, checks = sizes
    m = width * blocks * checks
    state = State(
        check=jnp.int32(0),
        basis=jnp.zeros((*lead, n, m)),
        within=jnp.zeros((*lead, m, m)),
        block=start(graph, width),
        rest=jnp.zeros((*lead, width, width)),
        theta=jnp.zeros((*lead, count)),
        weights=jnp.zeros((*lead, m, count)),
        residual=jnp.full(lead, jnp.inf),
    )

    def goes_on(state: State) -> jax.Array:
        return (state.check < checks) & jnp.any(state.residual > TOLERANCE)

    def grow(state: State) -> State:
        first = state.check * blocks
        state = lax.fori_loop(
            first, first + blocks, lambda i, s: _add(graph, s, i), state
        )
        return _check(state, blocks)

    state = lax.while_loop(goes_on, grow, state)
    vectors = combine(state.basis, state.weights)
    return Eigenpairs(state.theta, vectors, state.residual)


def _add(graph: Graph, state: State, number: jax.Array) -> State:
    """Adds a block to the basis, and makes the next."""
    column = number * state.block.shape[-1]
    insert = lax.dynamic_update_slice_in_dim
    basis = insert(state.basis, state.block, column, axis=-1)
    images = product(graph, state.block)
    inside = dot(basis, images)  # [..., m, P]
    within = insert(state.within, inside, column, axis=-1)
    block = without(graph.constant, images - combine(basis, inside))
    rest = dot(block, block)
    block = _in_place_of_noise(graph, *orthonormal(block, rest), number)
    # Twice is enough (Parlett 1980): of a short rest, much was rounding.
    block = without(graph.constant, block - combine(basis, dot(basis, block)))
    block, _ = orthonormal(block)
    return state._replace(basis=basis, within=within, block=block, rest=rest)


def _in_place_of_noise(
    graph: Graph, block: jax.Array, is_noise: jax.Array, number: jax.Array
) -> jax.Array:
    """Puts random vectors there, so that a basis that M leads not out of grows on."""

    def draw() -> jax.Array:
        drawn = random(graph, block.shape[-1], number + 1)
        return jnp.where(is_noise[..., None, :], drawn, block)

    return lax.cond(jnp.any(is_noise), draw, lambda: block)


def _check(state: State, blocks: int) -> State:
    """Finds the eigenpairs within as much of the basis as there is, and their error."""
    *lead, m, count = state.weights.shape
    width = state.block.shape[-1]

    def of_size(size: int) -> Any:
        theta, weights = ritz(state.within[..., :size, :size], count)
        last = weights[..., -width:, :]
        squares = jnp.sum(last * combine(state.rest, last), axis=-2)
        residual = jnp.sqrt(jnp.maximum(jnp.max(squares, axis=-1), 0.0))
        padding = [(0, 0)] * len(lead) + [(0, m - size), (0, 0)]
        return theta, jnp.pad(weights, padding), residual

    sizes = range(width * blocks, m + 1, width * blocks)
    branches = [lambda size=size: of_size(size) for size in sizes]
    theta, weights, residual = lax.switch(state.check, branches)
    return state._replace(
        check=state.check + 1, theta=theta, weights=weights, residual=residual
    )
