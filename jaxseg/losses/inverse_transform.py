"""The term of InverseForm: how far predicted edges are moved against the true ones.

Read `inverse_transform_loss` first. The regression network is given with its parameters
(`jaxseg.models.inverse_transform`, `jaxseg.pretrained.inverse_transform`).
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxseg.losses.masked import masked_mean
from jaxseg.ops import affine
from jaxseg.ops.rotation import nearest_rotation
from jaxseg.ops.tiles import tiles

Network = Callable[[Any, jax.Array, jax.Array], jax.Array]
Distance = Literal["parameters", "euclidean", "geodesic"]


def inverse_transform_loss(
    edge_logits: jax.Array,
    edges: jax.Array,
    network: Network,
    params: Any,
    *,
    valid: jax.Array | None = None,
    tile: int = 56,
    rows: int = 3,
    columns: int = 3,
    least_edges: int = 8,
    activation: Literal["sigmoid", "log_softmax"] = "sigmoid",
    distance: Distance = "parameters",
) -> jax.Array:
    """The mean distance to the identity of the transforms between tiles of edges.

    L = mean over tiles of d(theta(a, E)), a = sigmoid(e). Predicted and true edges are
    stretched to a grid of tiles, and the network says how each pair differs.

    The code of SAZS takes a = log_softmax(e) over the one channel there is, which is 0
    whatever e is: its term has no gradient. That is `activation="log_softmax"`, to
    compare with; it also has 3 x 6 tiles of 224, a shape made for Cityscapes.

    Args:
        edge_logits: [B, h, w] e; gradients flow into these only.
        edges: [B, h, w] E, bool, or the share of edges from 0 to 1.
        network: `(params, predicted, true) -> theta`, of tiles [N, t, t] float32 to
            normalised scales and shifts [N, 4]; the identity is 0.
        params: of the network; an argument, so that a compiled step does not hold them
            as constants.
        valid: bool [B, h, w], where outlines are known; elsewhere a is 0, as E should
            be. None: everywhere.
        tile: t.
        rows: how many tiles down.
        columns: how many across.
        least_edges: tiles with fewer true edge pixels (more than half covered) do not
            count: nothing in them says where they are. 0 counts all, as the authors do.
        activation: of the logits.
        distance: d: "parameters" is the norm of theta, as in the code of SAZS;
            "euclidean" |A - I|_F of the matrix A that theta stands for, as in its
            article; "geodesic" that of InverseForm (`geodesic_distance`).

    Returns:
        [] float32; 0 with zero gradient if no tile counts.

    Raises:
        ValueError: if the shapes do not go together, or of another activation or
            distance.
    """
    if edge_logits.shape != edges.shape:
        raise ValueError(
            f"edge logits {edge_logits.shape} and edges {edges.shape} do not go "
            "together: give [B, h, w] of both"
        )
    params = jax.lax.stop_gradient(params)
    activated = _activated(edge_logits, activation)
    if valid is not None:
        activated = jnp.where(valid, activated, 0.0)
    predicted, true = (
        tiles(maps, tile=tile, rows=rows, columns=columns).reshape(-1, tile, tile)
        for maps in (activated, edges.astype(jnp.float32))
    )
    counts = jnp.sum(true > 0.5, axis=(1, 2)) >= least_edges
    theta = network(params, predicted, true).astype(jnp.float32)
    return masked_mean(distance_to_identity(theta, distance), counts)


def distance_to_identity(theta: jax.Array, distance: Distance) -> jax.Array:
    """How far normalised scales and shifts [..., 4] are from none, [...] float32.

    Raises:
        ValueError: of another distance than the three.
    """
    if distance == "parameters":
        return safe_norm(theta)
    matrix = affine.matrices(theta)
    last = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), (*matrix.shape[:-2], 1, 3))
    matrix = jnp.concatenate([matrix, last], axis=-2)
    if distance == "euclidean":
        return euclidean_distance(matrix)
    if distance == "geodesic":
        return geodesic_distance(matrix)
    raise ValueError(
        f"distance is {distance!r}, expected 'parameters', 'euclidean' or 'geodesic'"
    )


def euclidean_distance(matrix: jax.Array) -> jax.Array:
    """|A - I|_F of transforms [..., 3, 3], [...] float32; no gradient where it is 0."""
    difference = matrix.astype(jnp.float32) - jnp.eye(3)
    return safe_norm(difference.reshape(*matrix.shape[:-2], 9))


def geodesic_distance(matrix: jax.Array, *, residual_weight: float = 0.1) -> jax.Array:
    """InverseForm's distance to the identity: of the nearest rotation, and to it.

    d = angle(P) + 0.1 |A - P|_F^2, P the rotation nearest to A.

    The angle is that of atan2, not arccos((tr P - 1) / 2), whose slope is infinite at
    P = I, where training is to end.

    Args:
        matrix: [..., 3, 3] A.
        residual_weight: of the second part.

    Returns:
        [...] float32; gradients are finite everywhere.
    """
    matrix = matrix.astype(jnp.float32)
    rotation = nearest_rotation(matrix)
    residual = jnp.sum(jnp.square(matrix - rotation), axis=(-2, -1))
    return rotation_angle(rotation) + residual_weight * residual


def rotation_angle(rotation: jax.Array) -> jax.Array:
    """The angle of rotations [..., 3, 3], [...] from 0 to pi; no gradient at 0."""
    skew = rotation - jnp.swapaxes(rotation, -1, -2)
    axis = jnp.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], axis=-1)
    cosine = jnp.trace(rotation, axis1=-2, axis2=-1) - 1
    return jnp.arctan2(safe_norm(axis), cosine)


def safe_norm(vectors: jax.Array) -> jax.Array:
    """Euclidean norms of [..., D], [...]; the gradient at 0 is 0."""
    squares = jnp.sum(jnp.square(vectors), axis=-1)
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1.0)), 0.0)


def _activated(edge_logits: jax.Array, activation: str) -> jax.Array:
    logits = edge_logits.astype(jnp.float32)
    if activation == "sigmoid":
        return jax.nn.sigmoid(logits)
    if activation == "log_softmax":
        return jax.nn.log_softmax(logits[..., None])[..., 0]
    raise ValueError(
        f"activation is {activation!r}, expected 'sigmoid' or 'log_softmax'"
    )
