"""Pairs of edge tiles of which one is moved: what the regression learns from.

Nobody has published how InverseForm's network was trained. This is: transforms of four
normalised parameters, some of which are none, and a moved tile that is made to look
like what a boundary head predicts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxseg.ops import affine
from jaxseg.ops.edges import sobel_edges
from jaxseg.ops.resize import resize_bilinear

LIMIT = 2.5  # of a parameter, whose standard deviation is 1
LEAST_EDGES = 8  # pixels of a tile that says something
TAPS = 4  # pixels to each side that a blur reaches


class Pairs(NamedTuple):
    """Tiles, and by what they differ.

    Attributes:
        predicted: [N, t, t] float32, moved and disturbed edges.
        true: [N, t, t] float32, 1 at edges.
        parameters: [N, 4] float32, 0 where nothing was moved.
        counts: [N] bool, which pairs have edges enough.
        is_still: [N] bool, where nothing was moved.
        is_clean: [N] bool, where nothing was disturbed.
    """

    predicted: jax.Array
    true: jax.Array
    parameters: jax.Array
    counts: jax.Array
    is_still: jax.Array
    is_clean: jax.Array


def outlines(labels: jax.Array, *, num_classes: int, size: int) -> jax.Array:
    """Edges of label maps, enlarged where the maps are smaller than a tile.

    Args:
        labels: [N, s, s] integer class ids; ids outside [0, C) are void.
        num_classes: C.
        size: t.

    Returns:
        [N, t, t] float32, 1 at edges; soft where they were enlarged.
    """
    edges = sobel_edges(labels, num_classes=num_classes).astype(jnp.float32)
    return resize_bilinear(edges[..., None], (size, size), align_corners=False)[..., 0]


def make(key: jax.Array, true: jax.Array, *, still_share: float) -> Pairs:
    """Moves edges and disturbs them.

    Args:
        key: of all draws.
        true: [N, t, t] float32 of `outlines`.
        still_share: the share of pairs that are not moved: without some, the network
            never learns to answer 0.
    """
    move_key, still_key, disturb_key = jax.random.split(key, 3)
    count = len(true)
    drawn = jax.random.normal(move_key, (count, 4)).clip(-LIMIT, LIMIT)
    is_still = jax.random.bernoulli(still_key, still_share, (count,))
    parameters = jnp.where(is_still[:, None], 0.0, drawn)
    moved = affine.warp(true, affine.matrices(parameters))
    predicted, is_clean = disturbed(disturb_key, moved)
    counts = jnp.sum(true > 0.5, axis=(1, 2)) >= LEAST_EDGES
    return Pairs(predicted, true, parameters, counts, is_still, is_clean)


def disturbed(key: jax.Array, edges: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Makes edges look predicted: weak and noisy, blurred, or partly missing.

    Each of the three happens by chance, so that some tiles stay clean: a network that
    saw only disturbed ones takes clean ones for moved.

    Args:
        key: of all draws.
        edges: [N, t, t] float32.

    Returns:
        [N, t, t] the tiles, and [N] bool which are untouched.
    """
    which_key, weaken_key, blur_key, erase_key = jax.random.split(key, 4)
    chances = jnp.array([0.7, 0.5, 0.3])
    which = jax.random.bernoulli(which_key, chances, (len(edges), 3))  # [N, 3]
    weaken, blur, erase = (which[:, i, None, None] for i in range(3))
    edges = jnp.where(weaken, weakened(weaken_key, edges), edges)
    edges = jnp.where(blur, blurred(blur_key, edges), edges)
    edges = jnp.where(erase, erased(erase_key, edges), edges)
    return edges, ~jnp.any(which, axis=1)


def weakened(key: jax.Array, edges: jax.Array) -> jax.Array:
    """Edges times a gain of 0.6 to 1, plus noise of 0 to 0.05."""
    gain_key, noise_key = jax.random.split(key)
    gain = jax.random.uniform(gain_key, (len(edges), 1, 1), minval=0.6)
    return gain * edges + 0.05 * jax.random.uniform(noise_key, edges.shape)


def blurred(key: jax.Array, edges: jax.Array) -> jax.Array:
    """Edges under a Gaussian of 0.5 to 1.5 pixels, zero beyond the border."""
    sigma = jax.random.uniform(key, (len(edges), 1), minval=0.5, maxval=1.5)
    steps = jnp.arange(-TAPS, TAPS + 1)
    kernel = jnp.exp(-0.5 * jnp.square(steps / sigma))  # [N, 2 TAPS + 1]
    kernel /= jnp.sum(kernel, axis=1, keepdims=True)
    for axis in (1, 2):
        size = edges.shape[axis]
        margin = [(0, 0)] * 3
        margin[axis] = (TAPS, TAPS)
        padded = jnp.pad(edges, margin)
        edges = sum(
            (
                kernel[:, i, None, None]
                * jax.lax.slice_in_dim(padded, i, i + size, axis=axis)
                for i in range(len(steps))
            ),
            start=jnp.zeros_like(edges),
        )
    return edges


def erased(key: jax.Array, edges: jax.Array) -> jax.Array:
    """Edges without a square of a quarter of the tile, at random."""
    _, height, width = edges.shape
    corner = jax.random.uniform(key, (len(edges), 2, 1))
    inside = [
        (jnp.arange(size) >= corner[:, i] * size / 2)
        & (jnp.arange(size) < (corner[:, i] + 1) * size / 2)
        for i, size in enumerate((height, width))
    ]
    return jnp.where(inside[0][:, :, None] & inside[1][:, None, :], 0.0, edges)
