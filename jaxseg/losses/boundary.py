"""Losses of a boundary head, as SAZS and InverseForm add them to a segmentation loss.

`balanced_binary_cross_entropy` teaches the head where edges are, `edge_attention` the
classifier where the head sees one. The third, the transform between predicted and true
edges, is in `inverse_transform`.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxseg.losses.cross_entropy import cross_entropy

VOID = -1


def balanced_binary_cross_entropy(
    edge_logits: jax.Array, edges: jax.Array, *, valid: jax.Array | None = None
) -> jax.Array:
    """Binary cross entropy of edges, both kinds of pixel weighing the same in all.

    L = 1/n sum_i w_i bce(e_i, E_i), w = n_neg / n on edge pixels and n_pos / n on the
    others, counted over the whole batch.

    Args:
        edge_logits: [B, h, w] e, any float type; all arithmetic is float32.
        edges: [B, h, w] E, bool.
        valid: [B, h, w] bool, which pixels count; all, as in the authors' code, if
            None.

    Returns:
        [] float32; 0 with zero gradient if there are no edges, or nothing else.

    Raises:
        ValueError: if the shapes do not go together.
    """
    _check_same(edge_logits, edges)
    edges = edges.astype(bool)
    counted = jnp.ones(edges.shape, bool) if valid is None else valid
    logits = jnp.where(counted, edge_logits.astype(jnp.float32), 0.0)
    number = jnp.maximum(jnp.sum(counted), 1).astype(jnp.float32)
    share = jnp.sum(edges & counted) / number
    weights = jnp.where(edges, jnp.sum(~edges & counted) / number, share)
    losses = jax.nn.softplus(jnp.where(edges, -logits, logits))
    return jnp.sum(weights * losses * counted) / number


def edge_attention(
    logits: jax.Array,
    labels: jax.Array,
    edge_logits: jax.Array,
    *,
    threshold: float = 0.8,
    reduction: Literal["mean", "sum"] = "mean",
) -> jax.Array:
    """Cross entropy of the pixels where the boundary head sees an edge.

    Of each image the mean over its pixels with e > threshold, weighted by class
    (`edge_class_weights`). The authors compare the raw logit e with 0.8, not a
    probability, and so do we; they add the images up, which makes the term grow with
    the batch, and have NaN for an image without such a pixel, which is 0 here.

    Args:
        logits: [B, h, w, C], any float type; gradients flow into these only.
        labels: [B, h, w] integer class ids; ids outside [0, C) do not count.
        edge_logits: [B, h, w] e.
        threshold: on the logits.
        reduction: over the images, "sum" for parity.

    Returns:
        [] float32; 0 with zero gradient if no pixel counts.

    Raises:
        ValueError: if the shapes do not go together, or of another reduction.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction is {reduction!r}, expected 'mean' or 'sum'")
    kept = edge_labels(labels, edge_logits, threshold=threshold)
    weights = edge_class_weights(kept, num_classes=logits.shape[-1])

    def of_image(logits: jax.Array, labels: jax.Array) -> jax.Array:
        return cross_entropy(logits, labels, class_weights=weights)

    losses = jax.vmap(of_image)(logits, kept)
    return jnp.mean(losses) if reduction == "mean" else jnp.sum(losses)


def edge_labels(
    labels: jax.Array, edge_logits: jax.Array, *, threshold: float
) -> jax.Array:
    """Labels [B, h, w], -1 where the edge logit is not above the threshold."""
    _check_same(edge_logits, labels)
    return jnp.where(edge_logits > threshold, labels.astype(jnp.int32), VOID)


def edge_class_weights(labels: jax.Array, *, num_classes: int) -> jax.Array:
    """Weights of classes by how rare they are: w_c = 1 + [n_c > 0] (1 - n_c / n).

    Args:
        labels: integer class ids of any shape; ids outside [0, C) do not count.
        num_classes: C.

    Returns:
        [C] float32 from 1 to 2; all 1 if no label counts.
    """
    ids = labels.astype(jnp.int32).ravel()
    ids = jnp.where((ids >= 0) & (ids < num_classes), ids, num_classes)
    counts = jnp.bincount(ids, length=num_classes + 1)[:-1].astype(jnp.float32)
    shares = counts / jnp.maximum(jnp.sum(counts), 1.0)
    return 1.0 + jnp.where(counts > 0, 1.0 - shares, 0.0)


def _check_same(edge_logits: jax.Array, other: jax.Array) -> None:
    if edge_logits.shape != other.shape:
        raise ValueError(
            f"edge logits {edge_logits.shape} and their targets {other.shape} do not "
            "go together: give [B, h, w] of both, with the targets brought to the size "
            "of the feature map"
        )
