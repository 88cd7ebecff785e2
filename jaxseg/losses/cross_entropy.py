"""Cross entropy over labelled pixels, and its variant over the hard ones only.

Read `cross_entropy` first. Every id outside [0, C), 255 among them, means
"not labelled".
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: Sequence[float] | jax.Array | None = None,
) -> jax.Array:
    """Mean cross entropy of the labelled pixels, weighted by class.

    L = sum_q w[t_q] (-log softmax(l_q)[t_q]) / sum_q w[t_q], over labelled pixels q.

    Args:
        logits: [..., C], any float type; all arithmetic is float32.
        labels: [...] integer class ids; ids outside [0, C) do not count.
        class_weights: [C] weights w, all 1 if None.

    Returns:
        [] float32; 0 with zero gradient if no pixel counts.

    Raises:
        ValueError: if the shapes do not go together.
    """
    losses, labelled = _pixel_losses(logits, labels)
    weights = _pixel_weights(labels, labelled, logits.shape[-1], class_weights)
    total = jnp.sum(weights)
    return jnp.sum(weights * losses) / jnp.where(total > 0, total, 1.0)


def seen_cross_entropy(
    logits: jax.Array, labels: jax.Array, seen: Sequence[int]
) -> jax.Array:
    """Mean cross entropy of a softmax over the seen classes only.

    Args:
        logits: [..., C]; those of unseen classes neither count nor have a gradient.
        labels: [...] train ids; pixels that are of no seen class do not count.
        seen: train ids.

    Returns:
        [] float32; 0 with zero gradient if no pixel counts.
    """
    return cross_entropy(*seen_only(logits, labels, seen))


def seen_only(
    logits: jax.Array, labels: jax.Array, seen: Sequence[int]
) -> tuple[jax.Array, jax.Array]:
    """The logits [..., S] of the seen classes, and labels [...] that count them.

    Args:
        logits: [..., C].
        labels: [...] train ids.
        seen: train ids; a label is its place among them, -1 if it has none.
    """
    ids = np.asarray(seen)
    places = np.full(logits.shape[-1], -1, np.int32)
    places[ids] = np.arange(len(ids))
    is_class = (labels >= 0) & (labels < len(places))
    places_of = jnp.asarray(places)[jnp.where(is_class, labels, 0)]
    return logits[..., ids], jnp.where(is_class, places_of, -1)


def segmentation_loss(
    logits: jax.Array,
    auxiliary: jax.Array | None,
    labels: jax.Array,
    *,
    class_weights: Sequence[float] | jax.Array | None = None,
    auxiliary_weight: float = 0.4,
) -> jax.Array:
    """Cross entropy of a network's logits, and of its auxiliary ones if it has any.

    Args:
        logits: [B, H, W, C].
        auxiliary: [B, H, W, C] of a head on an earlier stage (Zhao et al. 2017), or
            None.
        labels: [B, H, W] integer class ids; ids outside [0, C) do not count.
        class_weights: [C], all 1 if None.
        auxiliary_weight: of the auxiliary cross entropy.

    Returns:
        [] float32; 0 with zero gradient if no pixel counts.
    """
    loss = cross_entropy(logits, labels, class_weights=class_weights)
    if auxiliary is None:
        return loss
    return loss + auxiliary_weight * cross_entropy(
        auxiliary, labels, class_weights=class_weights
    )


def ohem_cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    threshold: float,
    min_kept: int,
    class_weights: Sequence[float] | jax.Array | None = None,
) -> jax.Array:
    """Mean cross entropy of the hard pixels (online hard example mining).

    With q_n the probability of the true class of labelled pixel n, a pixel is hard if
    q_n < max(threshold, q of rank min(min_kept, number labelled - 1) in ascending
    order). As in the common code, the weighted losses of hard pixels are divided by
    their number, not by their weights.

    Args:
        logits: [..., C], any float type; all arithmetic is float32.
        labels: [...] integer class ids; ids outside [0, C) do not count.
        threshold: pixels less probable than this are always hard.
        min_kept: at least this many are kept where probabilities do not tie.
        class_weights: [C], all 1 if None.

    Returns:
        [] float32; 0 with zero gradient if no pixel is hard.

    Raises:
        ValueError: if the shapes do not go together.
    """
    losses, labelled = _pixel_losses(logits, labels)
    weights = _pixel_weights(labels, labelled, logits.shape[-1], class_weights)

    probability = jax.lax.stop_gradient(jnp.exp(-losses))
    ascending = jnp.sort(jnp.where(labelled, probability, jnp.inf), axis=None)
    rank = jnp.minimum(min_kept, jnp.sum(labelled) - 1)
    limit = jnp.maximum(threshold, ascending[jnp.maximum(rank, 0)])
    hard = labelled & (probability < limit)
    return jnp.sum(weights * losses * hard) / jnp.maximum(jnp.sum(hard), 1)


def _pixel_losses(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the loss of each pixel, 0 where unlabelled, and which are labelled."""
    if logits.shape[:-1] != labels.shape:
        raise ValueError(
            f"logits {logits.shape} and labels {labels.shape} do not go together: "
            "give [..., C] and [...] of the same size, resizing one of them"
        )
    labels = labels.astype(jnp.int32)
    labelled = (labels >= 0) & (labels < logits.shape[-1])
    # A gather out of range gives NaN, which a mask afterwards would not remove from
    # the gradient: look up class 0 instead.
    safe = jnp.where(labelled, labels, 0)
    scores = jax.nn.log_softmax(logits.astype(jnp.float32))
    picked = jnp.take_along_axis(scores, safe[..., None], axis=-1)[..., 0]
    return jnp.where(labelled, -picked, 0.0), labelled


def _pixel_weights(
    labels: jax.Array,
    labelled: jax.Array,
    num_classes: int,
    class_weights: Sequence[float] | jax.Array | None,
) -> jax.Array:
    """Returns the float32 weight of each pixel's class, 0 where unlabelled."""
    if class_weights is None:
        return labelled.astype(jnp.float32)
    weights = jnp.asarray(class_weights, jnp.float32)
    if weights.shape != (num_classes,):
        raise ValueError(
            f"class_weights has shape {weights.shape}, expected one weight for each "
            f"of the {num_classes} classes"
        )
    safe = jnp.where(labelled, labels.astype(jnp.int32), 0)
    return jnp.where(labelled, weights[safe], 0.0)
