"""The contrast of pixels, within a batch and with a memory: `pixel_contrast`."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct

from jaxseg.methods.pico import streaming
from jaxseg.methods.pico.streaming import LOW

# Embeddings of every class and which of them there are: [C, M, D], [C, M] bool.
Bank = tuple[jax.Array, jax.Array]


class Contrast(struct.PyTreeNode):
    """The contrast of a batch, and what to watch beside it.

    Attributes:
        loss: [] float32.
        num_anchors: [] int32, how many anchors have a positive and count.
        positive_similarity: [] float32, mean cosine with a positive; 0 for no anchor.
        hardest_negative_similarity: [] float32, mean over the anchors that have a
            negative of the highest cosine with one; 0 for no such anchor.
    """

    loss: jax.Array
    num_anchors: jax.Array
    positive_similarity: jax.Array
    hardest_negative_similarity: jax.Array


def pixel_contrast(
    anchors: jax.Array,
    labels: jax.Array,
    banks: Sequence[Bank] = (),
    *,
    with_batch: bool = True,
    images: jax.Array | None = None,
    temperature: float,
    base_temperature: float,
) -> Contrast:
    """Supervised InfoNCE of anchors with each other and with banks of embeddings.

    With s_ip = x_i . x_p / temperature, and P_i, N_i the embeddings of the anchor's own
    class (itself left out) and of all others,
        L_i = mean_{p in P_i} -log( e^s_ip / (e^s_ip + sum_{n in N_i} e^s_in) ).
    The denominator holds one positive at a time. L is the mean over the anchors of a
    group that have a positive, then over groups that have such an anchor, times
    temperature / base_temperature, as in the authors' code.

    Args:
        anchors: [G, A, D] unit vectors, in groups that do not see each other.
        labels: [G, A] int32 class ids; -1 marks an anchor that does not count.
        banks: seen by all groups, constants for the gradient.
        with_batch: whether the anchors of a group are examples for each other.
        images: [G, A] int32 the image of each anchor, where only anchors of the same
            image shall be examples for each other; None for all of the group. Banks are
            seen all the same.
        temperature: divides the cosines.
        base_temperature: scales the loss; equal to `temperature` for the paper's.

    Returns:
        The loss, 0 with zero gradient if no anchor has a positive. An anchor without
        a negative has loss 0.
    """
    groups, a, d = anchors.shape
    rows, row_labels = anchors.reshape(-1, d), labels.reshape(-1)
    lse = hardest = jnp.full((groups, a), LOW, jnp.float32)
    if with_batch:
        scores = _scores(anchors, temperature)  # [G, A, A]
        positive, negative = relations(labels, labels, images=images)
        lse, hardest = logsumexp(scores, negative)
    for values, filled in banks:
        bank_lse, bank_hardest = streaming.negatives(
            rows, row_labels, values, filled, temperature
        )
        lse = jnp.logaddexp(lse, bank_lse.reshape(groups, a))
        hardest = jnp.maximum(hardest, bank_hardest.reshape(groups, a))

    losses = positive_scores = counts = jnp.zeros((groups, a), jnp.float32)
    if with_batch:
        losses = sum_of_losses(lse, scores, positive)
        positive_scores = jnp.sum(jnp.where(positive, scores, 0.0), axis=2)
        counts = jnp.sum(positive, axis=2, dtype=jnp.float32)
    for values, filled in banks:
        bank_losses, bank_scores = streaming.positives(
            rows, row_labels, lse.reshape(-1), values, filled, temperature
        )
        losses += bank_losses.reshape(groups, a)
        positive_scores += bank_scores.reshape(groups, a)
        counts += of_labels(jnp.sum(filled, axis=1), labels)

    counts = jnp.where(labels >= 0, counts, 0.0)
    found = average(losses, positive_scores, counts, hardest, temperature)
    return found.replace(loss=found.loss * (temperature / base_temperature))


def sum_of_losses(lse: jax.Array, scores: jax.Array, mask: jax.Array) -> jax.Array:
    """Sums -log( e^s_ip / (e^s_ip + e^lse_i) ) over the positives p of every anchor.

    Args:
        lse: [...] log-sum-exp of the anchor's scores with its negatives.
        scores: [..., P] its scores with others.
        mask: [..., P] bool, which of them are positives.
    """
    # log(1 + e^(lse - s)) in this form neither overflows nor takes log 0.
    losses = jax.nn.softplus(lse[..., None] - scores)
    return jnp.sum(jnp.where(mask, losses, 0.0), axis=-1)


def average(
    losses: jax.Array,
    positive_scores: jax.Array,
    counts: jax.Array,
    hardest: jax.Array,
    temperature: float,
) -> Contrast:
    """Averages over positives, anchors and groups.

    Args:
        losses: [G, A] sums over an anchor's positives.
        positive_scores: [G, A] sums of its scores with them.
        counts: [G, A] how many it has; an anchor without any does not count.
        hardest: [G, A] its highest score with a negative, `LOW` without one.
        temperature: makes cosines of scores.
    """
    valid = counts > 0
    counts = jnp.maximum(counts, 1)
    in_group = jnp.sum(valid, axis=1)
    per_group = jnp.sum(jnp.where(valid, losses / counts, 0.0), axis=1)
    per_group /= jnp.maximum(in_group, 1)
    return Contrast(
        loss=jnp.sum(per_group) / jnp.maximum(jnp.sum(in_group > 0), 1),
        num_anchors=jnp.sum(in_group),
        positive_similarity=temperature * _mean(positive_scores / counts, valid),
        hardest_negative_similarity=temperature
        * _mean(hardest, valid & (hardest > LOW)),
    )


def none() -> Contrast:
    """What there is before contrast begins."""
    zero = jnp.zeros(())
    return Contrast(zero, jnp.zeros((), jnp.int32), zero, zero)


def _scores(anchors: jax.Array, temperature: float) -> jax.Array:
    products = jnp.einsum(
        "gad,gbd->gab", anchors, anchors, preferred_element_type=jnp.float32
    )
    return products / temperature


def relations(
    rows: jax.Array,
    labels: jax.Array,
    *,
    first: jax.Array | int = 0,
    images: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Which anchors of a group are positives and negatives of some of them.

    Args:
        rows: [G, r] class ids of the anchors from number `first` on; -1 for none.
        labels: [G, A] class ids of all anchors.
        first: the place of the first of the rows among all.
        images: [G, A] where all are rows: only those of one image are related.

    Returns:
        [G, r, A] bool each; no anchor is its own positive.
    """

    def equal(left: jax.Array, right: jax.Array) -> jax.Array:
        return left[:, :, None] == right[:, None, :]

    there = (rows >= 0)[:, :, None] & (labels >= 0)[:, None, :]
    if images is not None:
        there &= equal(images, images)
    same = equal(rows, labels)
    place = first + jnp.arange(rows.shape[1])[:, None]
    itself = place == jnp.arange(labels.shape[1])
    return there & same & ~itself, there & ~same


def logsumexp(scores: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Log-sum-exp and highest of the masked scores; LOW, without gradient, of none."""
    scores = jnp.where(mask, scores, LOW)
    top = jax.lax.stop_gradient(jnp.max(scores, axis=-1, initial=LOW))
    weights = jnp.where(mask, jnp.exp(scores - top[..., None]), 0.0)
    total = jnp.sum(weights, axis=-1)
    there = total > 0
    lse = jnp.where(there, top + jnp.log(jnp.where(there, total, 1.0)), LOW)
    return lse, top


def of_labels(per_class: jax.Array, labels: jax.Array) -> jax.Array:
    """What [C] gives to the class of each label, float32; 0 to labels of no class."""
    inside = (labels >= 0) & (labels < len(per_class))
    found = per_class[jnp.where(inside, labels, 0)].astype(jnp.float32)
    return jnp.where(inside, found, 0.0)


def _mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    total = jnp.sum(jnp.where(mask, values, 0.0))
    return jax.lax.stop_gradient(total / jnp.maximum(jnp.sum(mask), 1))
