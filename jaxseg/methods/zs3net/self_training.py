"""ZS5Net: the model's own labels of unseen classes, where it is most certain."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxseg.ops.selection import kth_largest


def pseudo_labels(
    logits: jax.Array,
    labels: jax.Array,
    *,
    unseen: Sequence[int],
    percent: int,
) -> jax.Array:
    """Labels the most certain unseen pixels of each picture.

    Candidates are the unlabelled pixels whose best class is unseen. Of the n of a
    picture the ceil(n percent / 100) most probable ones get that class, the first in
    raster order of equal ones.

    Args:
        logits: [B, H, W, C].
        labels: [B, H, W] class ids; a pixel of an id in [0, C) keeps it.
        unseen: class ids.
        percent: from 0, none, to 100, all candidates.

    Returns:
        [B, H, W] int32: the labels, with those of the chosen pixels filled in.
    """
    num_classes = logits.shape[-1]
    labels = labels.astype(jnp.int32)
    guess = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    confidence = jnp.max(jax.nn.softmax(logits.astype(jnp.float32)), axis=-1)
    unlabelled = (labels < 0) | (labels >= num_classes)
    candidates = unlabelled & jnp.isin(guess, jnp.asarray(unseen, jnp.int32))
    flat = candidates.reshape(len(labels), -1)
    wanted = (jnp.sum(flat, axis=1) * percent + 99) // 100
    chosen = most_certain(confidence.reshape(flat.shape), flat, wanted)
    return jnp.where(chosen.reshape(labels.shape), guess, labels)


def most_certain(
    confidence: jax.Array, candidates: jax.Array, wanted: jax.Array
) -> jax.Array:
    """Exactly so many of the candidates of a row, the most certain ones.

    Args:
        confidence: [B, N] float32, from 0 to 1.
        candidates: [B, N] bool.
        wanted: [B] int32, at most the number of the row's candidates.

    Returns:
        [B, N] bool; of equal ones the first.
    """
    scores = jnp.where(candidates, confidence, -1.0)
    limit = kth_largest(scores, wanted)[:, None]  # NaN where none is wanted
    above = scores > limit
    equal = scores == limit
    left = wanted[:, None] - jnp.sum(above, axis=1, keepdims=True)
    return above | (equal & (jnp.cumsum(equal, axis=1) <= left))
