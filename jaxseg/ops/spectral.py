"""Spectral segmentation: the eigenvectors of a picture's graph, a batch in one call.

Melas-Kyriazi et al. 2022, Deep Spectral Segmentation. Read `spectral_maps` first; it
takes features to maps whose signs are segments. `eigenvectors` solves for a graph:

    (D - W) v = mu D v,    or    M u = (1 - mu) u,    M = D^-1/2 W D^-1/2,

with v = D^-1/2 u. The authors solve the first form with SciPy's shift-invert at 0,
which factorises a singular matrix; the second has the same answer and needs products
with W only. The first pair is known: mu = 0 and v constant.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.ops import spectral_eigh
from jaxseg.ops.affinity import affinity as affinity_of
from jaxseg.ops.spectral_graph import Graph, normalise, product

Method = Literal["auto", "fast", "eigh", "lanczos"]
METHODS = ("auto", "fast", "eigh", "lanczos")
# Below it, a picture's nodes are no more alike than any: M u is all but 0.
LEAST_THETA = 1e-4


class Spectrum(NamedTuple):
    """The smallest eigenvalues of normalised Laplacians, and their eigenvectors.

    Attributes:
        values: [..., K] mu, ascending, from 0 to 2.
        vectors: [..., N, K] v, v^T D v = 1; the side above 0 is the smaller.
        symmetric: [..., N, K] u, orthonormal, with the signs of v.
        residual: [...] the largest |M u - (1 - mu) u| of the K.
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
    *_, n, columns = affinity.shape
    if n != columns or not 1 <= count <= n:
        raise ValueError(
            f"{count} eigenvectors of an affinity of shape {affinity.shape}: it must "
            "be [..., N, N] with N at least their number"
        )
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: it must be one of {METHODS}")
    weights = lax.stop_gradient(affinity).astype(jnp.float32)
    graph = normalise(weights)
    return _spectrum(graph, *spectral_eigh.largest(graph, count - 1))


def _spectrum(graph: Graph, theta: jax.Array, found: jax.Array) -> Spectrum:
    """Puts the constant vector before those found, [..., N, K - 1]."""
    constant = graph.constant[..., None]
    symmetric = jnp.concatenate([constant, found], axis=-1)
    # 1, but 0 where no node has a neighbour.
    first = jnp.sum(jnp.square(constant), axis=-2)
    theta = jnp.concatenate([first, theta], axis=-1)  # [..., K]
    error = product(graph, symmetric) - symmetric * theta[..., None, :]
    residual = jnp.max(jnp.linalg.norm(error, axis=-2), axis=-1)
    connected = jnp.abs(graph.constant) > 0
    sign = _signs(symmetric, connected[..., None])
    symmetric = sign * symmetric
    vectors = symmetric * graph.scale[..., None]
    return Spectrum(1.0 - theta, vectors, symmetric, residual)


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
        ValueError: if colours are given without a weight or a weight without them, or
            shapes do not fit.
    """
    if (colours is None) != (colour_weight == 0.0):
        raise ValueError(
            f"colour_weight is {colour_weight} and colours are "
            f"{'not ' if colours is None else ''}given: give both or neither"
        )
    return jax.vmap(
        lambda *arrays: _maps(
            *arrays,
            count=count,
            skip=0 if include_trivial else 1,
            method=method,
            colour_weight=colour_weight,
        )
    )(features, colours, valid)


def _maps(features, colours, valid, *, count, skip, method, colour_weight):
    h, w, _ = features.shape
    number = min(count + skip, h * w)
    if not number:
        return jnp.zeros((h, w, count), jnp.float32)
    if colours is not None:
        colour_weight = jnp.where(_varies(colours, valid), colour_weight, 0.0)
    weights = affinity_of(
        features, colours=colours, colour_weight=colour_weight, valid=valid
    )
    spectrum = eigenvectors(weights, number, method=method)
    maps = jnp.where(1.0 - spectrum.values > LEAST_THETA, spectrum.vectors, 0.0)
    maps = maps[:, skip:]
    return jnp.pad(maps, ((0, 0), (0, count - maps.shape[1]))).reshape(h, w, count)


def _varies(colours: jax.Array, valid: jax.Array | None) -> jax.Array:
    """[] whether valid nodes [h, w, 3] differ by more than an eight-bit step."""
    where = None if valid is None else valid[..., None]
    highest = jnp.max(colours, axis=(0, 1), initial=0.0, where=where)
    lowest = jnp.min(colours, axis=(0, 1), initial=1.0, where=where)
    return jnp.max(highest - lowest) > 1 / 255
