"""Spectral segmentation: the eigenvectors of a picture's graph, a batch in one call.

Melas-Kyriazi et al. 2022, Deep Spectral Segmentation. Read `spectral_maps` first; it
takes features to maps whose signs are segments. `eigenvectors` solves for a graph:

    (D - W) v = mu D v,    or    M u = (1 - mu) u,    M = D^-1/2 W D^-1/2,

with v = D^-1/2 u. The authors solve the first form with SciPy's shift-invert at 0,
which factorises a singular matrix; the second has the same answer and needs products
with W only. The first pair is known: mu = 0 and v constant.
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.ops import spectral_chebyshev, spectral_eigh, spectral_krylov
from jaxseg.ops.affinity import affinity as affinity_of
from jaxseg.ops.picture_map import map_pictures
from jaxseg.ops.spectral_basis import Eigenpairs
from jaxseg.ops.spectral_graph import Graph, normalise

Method = Literal["auto", "fast", "eigh", "lanczos"]
METHODS = ("auto", "fast", "eigh", "lanczos")
# Below it, a picture's nodes are no more alike than any: M u is all but 0.
LEAST_THETA = 1e-4


class Spectrum(NamedTuple):
    """The smallest eigenvalues of normalised Laplacians, and their eigenvectors.

    Attributes:
        values: [..., K] mu, ascending, from 0 to 2.
        vectors: [..., N, K] v, v^T D v = 1; the side above 0 is the smaller.
        symmetric: [..., N, K] u, orthonormal, with the signs of v. "fast" leaves zeros,
            and theta 0, where M has fewer directions than K, as of equal features.
        residual: [...] the largest |M u - (1 - mu) u| of those after the first.
    """

    values: jax.Array
    vectors: jax.Array
    symmetric: jax.Array
    residual: jax.Array


def eigenvectors(
    affinity: jax.Array, count: int, *, method: Method = "auto"
) -> Spectrum:
    """The smallest eigenpairs of graphs' normalised Laplacians.

    Not differentiated: eigenvectors of near eigenvalues have no gradient to speak of.

    Args:
        affinity: [..., N, N], symmetric, from 0; a node whose row is 0 has no
            neighbours: its entry is 0 in every vector that has mu < 1.
        count: K, at most N; the constant vector, which is the first, counts.
        method: "eigh" is exact and computes all N.

    Raises:
        ValueError: if N is below K, or the method is unknown.
    """
    *lead, n, columns = affinity.shape
    if n != columns or not 1 <= count <= n:
        raise ValueError(
            f"{count} eigenvectors of an affinity of shape {affinity.shape}: it must "
            "be [..., N, N] with N at least their number"
        )
    _check_method(method)
    weights = lax.stop_gradient(affinity).astype(jnp.float32)
    if not lead:
        return _solve(weights, count, method)
    batch = weights.reshape(-1, n, n)
    solve = functools.partial(_solve, count=count, method=method)
    found = map_pictures(solve, batch, bytes_each=bytes_each(n))
    return jax.tree.map(lambda each: each.reshape(*lead, *each.shape[1:]), found)


def _check_method(method: str) -> None:
    if method not in SOLVERS:
        raise ValueError(f"method is {method!r}: it must be one of {METHODS}")


def bytes_each(num_nodes: int, *, with_colours: bool = False) -> int:
    """Memory that a picture takes: weights, and two more of their size for `eigh`.

    Neighbours in colour take three more: distances, their negatives, and counts.
    """
    return (6 if with_colours else 3) * 4 * num_nodes**2


def _solve(weights: jax.Array, count: int, method: Method) -> Spectrum:
    """The spectrum of one graph [N, N], or of several at a time [G, N, N]."""
    graph = normalise(weights)
    solver = SOLVERS[method] if count > 1 else _none
    found = solver(graph, count - 1)
    constant = graph.constant[..., None]
    # 1, but 0 where no node has a neighbour.
    first = jnp.sum(jnp.square(constant), axis=-2)
    values = 1.0 - jnp.concatenate([first, found.theta], axis=-1)
    symmetric = jnp.concatenate([constant, found.vectors], axis=-1)
    symmetric *= _signs(symmetric, constant > 0)
    return Spectrum(
        values, symmetric * graph.scale[..., None], symmetric, found.residual
    )


def _none(graph: Graph, count: int) -> Eigenpairs:
    """No eigenpairs: the constant vector is known."""
    *lead, n = graph.scale.shape
    empty = jnp.zeros((*lead, count)), jnp.zeros((*lead, n, count))
    return Eigenpairs(*empty, jnp.zeros(lead))


def _auto(graph: Graph, count: int) -> Eigenpairs:
    """Block Krylov, and `eigh` for those whose residual does not fall."""
    sizes = spectral_krylov.checked(graph.scale.shape[-1], count)
    if sizes is None:
        return spectral_eigh.largest(graph, count)
    found = spectral_krylov.largest(graph, count, sizes)
    fails = found.residual > spectral_krylov.TOLERANCE

    def fall_back() -> Eigenpairs:
        def choose(exact: jax.Array, other: jax.Array) -> jax.Array:
            where = fails.reshape(*fails.shape, *[1] * (exact.ndim - fails.ndim))
            return jnp.where(where, exact, other)

        return jax.tree.map(choose, spectral_eigh.largest(graph, count), found)

    # One question for all pictures: under `vmap`, both sides of it would be computed.
    return lax.cond(jnp.any(fails), fall_back, lambda: found)


def _fast(graph: Graph, count: int) -> Eigenpairs:
    """The Chebyshev filter, where the graph is large enough for it."""
    fits = spectral_chebyshev.fits(graph.scale.shape[-1], count)
    solver = spectral_chebyshev if fits else spectral_eigh
    return solver.largest(graph, count)


def _lanczos(graph: Graph, count: int) -> Eigenpairs:
    """48 products with one vector, where the graph is large enough for it."""
    sizes = spectral_krylov.single(graph.scale.shape[-1], count)
    if sizes is None:
        return spectral_eigh.largest(graph, count)
    return spectral_krylov.largest(graph, count, sizes)


SOLVERS = {
    "auto": _auto,
    "fast": _fast,
    "eigh": spectral_eigh.largest,
    "lanczos": _lanczos,
}


def _signs(vectors: jax.Array, counts: jax.Array) -> jax.Array:
    """1 or -1, [..., 1, K], by the majority rule of the authors' code.

    A vector with more than half, but not all, of its entries above 0 is turned: the
    smaller side is above 0, objects being smaller than what is behind them. Of two
    equal sides, which the rule leaves open, the one without the first node is.

    Args:
        vectors: [..., N, K].
        counts: bool [..., N, 1]; the others have no say.
    """
    above = jnp.sum((vectors > 0) & counts, axis=-2, keepdims=True)
    total = jnp.sum(counts, axis=-2, keepdims=True)
    first = jnp.argmax(counts, axis=-2, keepdims=True)
    is_first_above = jnp.take_along_axis(vectors, first, axis=-2) > 0
    is_larger = (2 * above > total) | ((2 * above == total) & is_first_above)
    return jnp.where(is_larger & (above < total), -1.0, 1.0)


def spectral_maps(
    features: jax.Array,
    *,
    count: int = 5,
    include_trivial: bool = False,
    method: Method = "auto",
    colours: jax.Array | None = None,
    colour_weight: float = 0.0,
    valid: jax.Array | None = None,
) -> jax.Array:
    """The lowest eigenvectors of pictures, as maps; where one is above 0 is a segment.

    Args:
        features: [B, h, w, D] of any network.
        count: K, how many.
        include_trivial: count the constant vector as the first, as the authors' code.
        method: of `eigenvectors`.
        colours: [B, h, w, 3] in [0, 1], at the size of the map, for a `colour_weight`
            above 0. In a picture of one colour, which only has places to tell nodes
            apart, they do not count.
        colour_weight: lambda of `affinity`.
        valid: bool [B, h, w]; the others are padding.

    Returns:
        float32 [B, h, w, K]: v, its sign fixed; 0 on padding. A vector without
        structure (mu >= 1 - 1e-4) is all 0, as are those that a picture of equal
        features or fewer than K nodes does not have.

    Raises:
        ValueError: if colours are given without a weight or a weight without them, if
            shapes do not fit, or the method is unknown.
    """
    if (colours is None) != (colour_weight == 0.0):
        raise ValueError(
            f"colour_weight is {colour_weight} and colours are "
            f"{'not ' if colours is None else ''}given: give both or neither"
        )
    _check_method(method)
    b, h, w, _ = features.shape
    skip = 0 if include_trivial else 1
    number = min(count + skip, h * w)
    if b * number == 0:
        return jnp.zeros((b, h, w, count), jnp.float32)

    def maps(*arrays: jax.Array) -> jax.Array:
        weights = _weights(*arrays, colour_weight=colour_weight)
        spectrum = _solve(weights, number, method)
        return _with_structure(spectrum)[..., skip:]  # [..., N, K]

    memory = bytes_each(h * w, with_colours=colours is not None)
    found = map_pictures(maps, features, colours, valid, bytes_each=memory)
    missing = count + skip - number
    found = jnp.pad(found, ((0, 0), (0, 0), (0, missing)))
    return found.reshape(b, h, w, count)


def _weights(features, colours, valid, *, colour_weight):
    """The affinity [..., N, N] of one picture, or of several at a time."""
    if features.ndim > 3:
        one = functools.partial(_weights, colour_weight=colour_weight)
        return jax.vmap(one)(features, colours, valid)
    if colours is not None:
        colour_weight = jnp.where(_varies(colours, valid), colour_weight, 0.0)
    return affinity_of(
        features, colours=colours, colour_weight=colour_weight, valid=valid
    )


def _with_structure(spectrum: Spectrum) -> jax.Array:
    """The vectors, but zeros for those that tell no node from another.

    And zeros at nodes without neighbours, where solvers may leave some rounding.
    """
    theta = 1.0 - spectrum.values[..., None, :]
    has_neighbours = spectrum.vectors[..., :1] > 0  # the constant vector
    return jnp.where((theta > LEAST_THETA) & has_neighbours, spectrum.vectors, 0.0)


def _varies(colours: jax.Array, valid: jax.Array | None) -> jax.Array:
    """[] whether valid nodes [h, w, 3] differ by more than an eight-bit step."""
    where = None if valid is None else valid[..., None]
    highest = jnp.max(colours, axis=(0, 1), initial=0.0, where=where)
    lowest = jnp.min(colours, axis=(0, 1), initial=1.0, where=where)
    return jnp.max(highest - lowest) > 1 / 255
