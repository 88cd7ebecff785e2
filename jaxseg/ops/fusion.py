"""What eigensegments do to a network's masks; read `fuse` first.

Eigensegments of a picture (`jaxseg.ops.eigensegments`) follow its outlines and know no
classes; the network's mask knows the class. SAZS (Liu et al., CVPR 2023) puts the
eigensegment in the place of the mask that it overlaps best.
"""

from typing import Any

import jax
import jax.numpy as jnp


def overlaps(
    segments: jax.Array, mask: jax.Array, *, valid: jax.Array | None = None
) -> jax.Array:
    """Intersection over union of each segment with a mask.

    Args:
        segments: [B, H, W, K] bool.
        mask: [B, H, W] bool.
        valid: [B, H, W] bool, the pixels that count; all if None.

    Returns:
        [B, K] float32; 0 where both are empty.
    """
    if valid is not None:
        segments, mask = segments & valid[..., None], mask & valid
    both = _area(segments & mask[..., None])
    either = _area(segments | mask[..., None])
    return both / jnp.maximum(either, 1).astype(jnp.float32)


def fuse(
    prediction: jax.Array,
    segments: jax.Array,
    *,
    threshold: float = 0.5,
    valid: jax.Array | None = None,
) -> jax.Array:
    """Replaces a mask by the segment that overlaps it best, if that is well enough.

    With k* = argmax_k IoU(E_k, P), the first of equals, the result is E_k* where
    IoU(E_k*, P) > threshold, else P. No label is read, unlike in the authors' code,
    which is `fuse_oracle`.

    Args:
        prediction: P, [B, H, W] bool, the network's mask.
        segments: E, [B, H, W, K] bool.
        threshold: that the IoU must exceed.
        valid: [B, H, W] bool, the pixels that count in the IoU; all if None.

    Returns:
        [B, H, W] bool. An empty prediction stays empty.
    """
    iou = overlaps(segments, prediction, valid=valid)
    found = prediction if valid is None else prediction & valid
    replaced = (jnp.max(iou, axis=1) > threshold) & jnp.any(found, axis=(1, 2))
    best = _chosen(segments, jnp.argmax(iou, axis=1))
    return jnp.where(replaced[:, None, None], best, prediction)


def fuse_oracle(
    prediction: jax.Array, segments: jax.Array, truth: jax.Array, labelled: jax.Array
) -> jax.Array:
    """Takes whichever of the mask and the segments is nearest to the truth.

    An oracle: it reads the labels of the test, as the authors' evaluation does, so it
    says how good a choice could be and never how good the method is.

    Args:
        prediction: [B, H, W] bool, the network's mask.
        segments: [B, H, W, K] bool.
        truth: [B, H, W] bool.
        labelled: [B, H, W] bool, the pixels that count.

    Returns:
        [B, H, W] bool; of equals the prediction, then the first segment.
    """
    candidates = jnp.concatenate([prediction[..., None], segments], axis=-1)
    iou = overlaps(candidates, truth, valid=labelled)
    return _chosen(candidates, jnp.argmax(iou, axis=1))


def fuse_classes(
    class_ids: jax.Array,
    segments: jax.Array,
    *,
    num_classes: int,
    background: int,
    threshold: float = 0.5,
    valid: jax.Array | None = None,
) -> jax.Array:
    """Replaces the masks of all predicted classes by segments, without labels.

    Classes take turns, the largest first. A class c with mask P takes, of the segments
    that no class has yet and at least half of whose pixels are in P, the one with the
    largest IoU with P, the first of equals, if it exceeds the threshold. The segment
    claims its pixels that the network calls c or background; the other pixels of P
    become background. Of background claimed twice the larger class keeps its own.

    Args:
        class_ids: [B, H, W] integers, the network's.
        segments: [B, H, W, K] bool.
        num_classes: C.
        background: the class that masks grow into and give pixels back to.
        threshold: that the IoU must exceed.
        valid: [B, H, W] bool, the pixels that count; all others keep their ids.

    Returns:
        [B, H, W] of the ids' dtype.
    """
    if valid is None:
        valid = jnp.ones(class_ids.shape, bool)

    def of_picture(ids: jax.Array, segments: jax.Array, valid: jax.Array) -> jax.Array:
        owner, turn = _owners(ids, segments, valid, num_classes, background, threshold)
        return jnp.where(valid, _claim(ids, segments, owner, turn, background), ids)

    return jax.vmap(of_picture)(class_ids, segments & valid[..., None], valid)


def soft_projection(
    logits: jax.Array, spectrum: Any, *, share: float = 0.5
) -> jax.Array:
    """Smooths logits along a graph: Z' = (1 - a) Z + a D^-1/2 U U^T D^1/2 Z.

    U are the first eigenvectors of the normalised affinity, D the degrees of its nodes:
    what Z has in common with the m smoothest functions on the graph remains. Ours, and
    without labels; neither paper has it.

    Args:
        logits: Z, [h, w, C] float.
        spectrum: of the picture's graph, `vectors` D^-1/2 U and `symmetric` U, [N, m]
            with N = h w; `jaxseg.ops.spectral.Spectrum`.
        share: a.

    Returns:
        [h, w, C] of the logits' dtype; nodes that the graph lacks keep their logits.
    """
    h, w, c = logits.shape
    vectors, symmetric = spectrum.vectors, spectrum.symmetric
    z = logits.reshape(h * w, c).astype(jnp.float32)
    # u = D^1/2 v in each column, so their lengths at a node tell its degree.
    length = jnp.sum(vectors**2, axis=1)
    exists = length > 0
    degree = jnp.sum(symmetric**2, axis=1) / jnp.where(exists, length, 1)
    weighted = jnp.sqrt(degree)[:, None] * z
    precision = jax.lax.Precision.HIGHEST
    inner = jnp.matmul(symmetric.T, weighted, precision=precision)
    smooth = jnp.matmul(vectors, inner, precision=precision)
    z = jnp.where(exists[:, None], (1 - share) * z + share * smooth, z)
    return z.reshape(h, w, c).astype(logits.dtype)


def _area(masks: jax.Array) -> jax.Array:
    """Pixels of masks [B, H, W, K], int32 [B, K]."""
    return jnp.sum(masks, axis=(1, 2), dtype=jnp.int32)


def _chosen(masks: jax.Array, index: jax.Array) -> jax.Array:
    """The mask [B, H, W] of [B, H, W, K] at an index [B]."""
    return jnp.take_along_axis(masks, index[:, None, None, None], axis=-1)[..., 0]


def _owners(
    ids: jax.Array,
    segments: jax.Array,
    valid: jax.Array,
    num_classes: int,
    background: int,
    threshold: float,
) -> tuple[jax.Array, jax.Array]:
    """The class [K] that each segment goes to, -1 for none, and in which turn [K]."""
    inside = valid & (ids >= 0) & (ids < num_classes)
    bins = jnp.where(inside, ids, num_classes).ravel().astype(jnp.int32)
    pixels = segments.reshape(len(bins), -1).astype(jnp.int32)
    both = jax.ops.segment_sum(pixels, bins, num_classes + 1)[:-1]  # [C, K]
    area = jax.ops.segment_sum(jnp.ones_like(bins), bins, num_classes + 1)[:-1]
    total = jnp.sum(pixels, axis=0)
    iou = both / jnp.maximum(area[:, None] + total - both, 1).astype(jnp.float32)
    fits = (2 * both >= total) & (iou > threshold) & (both > 0)
    fits = fits.at[background].set(False)

    def take(
        owner: jax.Array, turn_and_class: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        _, c = turn_and_class
        free = fits[c] & (owner < 0)
        best = jnp.argmax(jnp.where(free, iou[c], -1))
        chosen = free[best] & (jnp.arange(len(owner)) == best)
        return jnp.where(chosen, c, owner), chosen

    order = jnp.argsort(-area, stable=True).astype(jnp.int32)
    turns = jnp.arange(num_classes, dtype=jnp.int32)
    nobody = jnp.full(len(total), -1, jnp.int32)
    owner, chosen = jax.lax.scan(take, nobody, (turns, order))  # [K], [C, K]
    return owner, jnp.argmax(chosen, axis=0)


def _claim(
    ids: jax.Array,
    segments: jax.Array,
    owner: jax.Array,
    turn: jax.Array,
    background: int,
) -> jax.Array:
    """Class ids [H, W] after each segment's owner has claimed what it may."""
    is_background = ids == background
    may = is_background[..., None] | (ids[..., None] == owner)
    claims = segments & (owner >= 0) & may
    late = jnp.iinfo(jnp.int32).max
    first = jnp.argmin(jnp.where(claims, turn, late), axis=-1)
    has_segment = jnp.any(ids[..., None] == owner, axis=-1) & ~is_background
    left = jnp.where(has_segment, background, ids)
    claimed = jnp.any(claims, axis=-1)
    return jnp.where(claimed, owner[first].astype(ids.dtype), left)
