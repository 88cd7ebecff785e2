"""Pixels meet texts: which anchors a picture has, and its labels at the map's size.

`pair` and `episode_labels` make the binary setting; the multiclass one has all seen
classes (`losses.cross_entropy.seen_only`).
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.data.labels import IGNORE
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.ops.scales import labels_at

LabelMode = Literal["subsample", "majority"]
NEVER = -1e9  # a logit that is never the largest; finite, since logits are enlarged


def align(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean cross entropy over the anchors that take part.

    Args:
        logits: [B, h, w, E], of `pair` (an episode has two anchors, everything else and
            its class), or of the seen classes.
        labels: [B, h, w] indices of the anchors; others are unlabelled.

    Returns:
        [] float32; 0 with zero gradient if no pixel is labelled.
    """
    return cross_entropy(logits, labels)


def pair(logits: jax.Array, class_id: jax.Array, *, background: int) -> jax.Array:
    """The logits [B, h, w, 2] of "everything else" and of each picture's class."""
    own = jnp.take_along_axis(logits, class_id[:, None, None, None], axis=-1)
    return jnp.concatenate([logits[..., background, None], own], axis=-1)


def told(logits: jax.Array, class_id: jax.Array, *, background: int) -> jax.Array:
    """Logits [B, h, w, C] of which only the background and the class given can win."""
    classes = jnp.arange(logits.shape[-1])
    allowed = (classes == class_id[:, None]) | (classes == background)  # [B, C]
    return jnp.where(allowed[:, None, None], logits, NEVER)


def episode_labels(
    labels: jax.Array, class_id: jax.Array, *, num_classes: int, void_as_others: bool
) -> jax.Array:
    """The episode in a mask: 1 on the class, 0 on the others, IGNORE where unlabelled.

    Args:
        labels: [B, H, W] class ids; ids outside [0, C) are unlabelled.
        class_id: int [B].
        num_classes: C.
        void_as_others: trains unlabelled pixels as others, as the authors' code does.

    Returns:
        [B, H, W] int32.
    """
    own = (labels == class_id[:, None, None]).astype(jnp.int32)
    if void_as_others:
        return own
    labelled = (labels >= 0) & (labels < num_classes)
    return jnp.where(labelled, own, IGNORE)


def shrink_labels(
    labels: jax.Array, size: tuple[int, int], *, num_classes: int, mode: LabelMode
) -> jax.Array:
    """Labels at a feature map's size.

    Args:
        labels: [B, H, W] class ids; ids outside [0, C) are unlabelled.
        size: h and w of the map.
        num_classes: C.
        mode: "subsample" takes the first pixel of each cell, as the authors do;
            "majority" its most frequent label, the unlabelled being one of them; the
            smallest id of several.

    Returns:
        [B, h, w] int32, IGNORE where unlabelled.

    Raises:
        ValueError: if the map's cells are no whole pixels, and the majority is asked.
    """
    labelled = (labels >= 0) & (labels < num_classes)
    labels = jnp.where(labelled, labels, IGNORE).astype(jnp.int32)
    if mode == "subsample":
        return labels_at(labels, size)
    b, height, width = labels.shape
    h, w = size
    if height % h or width % w:
        raise ValueError(
            f"label_mode='majority' needs cells of whole pixels, but {height} x "
            f"{width} does not divide into {h} x {w}: choose another crop"
        )
    cells = labels.reshape(b, h, height // h, w, width // w)

    def count(best: tuple[jax.Array, jax.Array], label: jax.Array):
        most, winner = best
        votes = jnp.sum(cells == label, axis=(2, 4))
        is_more = votes > most
        return (jnp.where(is_more, votes, most), jnp.where(is_more, label, winner)), ()

    # One class after the other: B H W C counts would not fit for 80 classes.
    start = jnp.zeros((b, h, w), jnp.int32), jnp.full((b, h, w), IGNORE, jnp.int32)
    candidates = jnp.append(jnp.arange(num_classes), IGNORE)
    (_, winner), _ = lax.scan(count, start, candidates)
    return winner
