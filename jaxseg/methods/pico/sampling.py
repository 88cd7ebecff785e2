"""Which pixels become anchors, and which are remembered; read `choose_anchors`.

Sampling is exact and has static shapes: no loop over classes on the host, no boolean
indexing. Randomness comes in as a priority per pixel, drawn by the image's place in the
global batch, so that any number of devices chooses the same pixels.
"""

import jax
import jax.numpy as jnp
from flax import struct

from jaxseg.ops.sampling import smallest_in_groups


class Anchors(struct.PyTreeNode):
    """The pixels chosen in each group of images, in slots that may stay empty.

    Attributes:
        positions: [G, A] int32, index into the group's pixels n h w; 0 where empty.
        labels: [G, A] int32 class ids; -1 where empty.
        hard: [G, A] bool, whether the head has the pixel wrong.
    """

    positions: jax.Array
    labels: jax.Array
    hard: jax.Array


class Pairs(struct.PyTreeNode):
    """What each pair of an image and a class has, and what it gives.

    Attributes:
        num_hard: [G, n, C] int32, the pixels of the class that the head has wrong.
        num_easy: [G, n, C] int32, those that it has right.
        qualified: [G, n, C] bool, whether the pair gives anchors.
        keep_hard: [G, n, C] int32, how many wrong ones are anchors; 0 if not qualified.
        keep_easy: [G, n, C] int32, how many right ones are.
        views: [G] int32, anchors of every qualified pair.
    """

    num_hard: jax.Array
    num_easy: jax.Array
    qualified: jax.Array
    keep_hard: jax.Array
    keep_easy: jax.Array
    views: jax.Array


def choose_anchors(
    labels: jax.Array,
    predictions: jax.Array,
    priority: jax.Array,
    *,
    num_classes: int,
    max_samples: int,
    max_views: int,
    group_size: int,
) -> tuple[Anchors, Pairs]:
    """Chooses anchors of every class in every image, half of them misclassified.

    A pair (image, class) of more than `max_views` pixels qualifies; all T pairs of a
    group give views = min(max_samples / T, max_views) anchors, half of them hard where
    there are as many. Where pairs outnumber the slots, the first `max_samples` give one
    each (the authors' code then gives none and NaN).

    Args:
        labels: [B, h, w] class ids; ids outside [0, C) are never chosen.
        predictions: [B, h, w] class ids that the head gives.
        priority: [B, h, w] float32; the smallest of a set are chosen.
        num_classes: C.
        max_samples: A, anchor slots of a group.
        max_views: most anchors of a pair, and its threshold.
        group_size: n, consecutive images that share the slots; 0 for the whole batch.

    Returns:
        The anchors, pair by pair (image, then class), hard before easy, each by
        ascending priority; and the counts that led to them.
    """
    b, h, w = labels.shape
    c = num_classes
    n = check_group_size(group_size, b)
    kinds = _kinds(labels, predictions, c).reshape(b, h * w)
    ones = jnp.ones_like(kinds)
    count = jax.vmap(lambda kind, one: jax.ops.segment_sum(one, kind, 2 * c + 1))
    num_hard, num_easy = _hard_and_easy(count(kinds, ones)[:, :-1], n)
    pairs = _budget(num_hard, num_easy, max_samples=max_samples, max_views=max_views)

    picks = smallest_in_groups(
        kinds, priority.reshape(b, -1), num_groups=2 * c, num_picks=max_views
    )
    # Positions count through the group's images, one after the other.
    first = jnp.arange(b, dtype=jnp.int32)[:, None, None] % n * (h * w)
    return _collect(pairs, picks + first, max_samples), pairs


def pick_pixels(
    labels: jax.Array, priority: jax.Array, *, num_classes: int, num_picks: int
) -> jax.Array:
    """Draws pixels of every class in every image, to be remembered.

    Args:
        labels: [B, h, w] class ids; ids outside [0, C) are never drawn.
        priority: [B, h, w] float32; the smallest of each class are drawn.
        num_classes: C.
        num_picks: V.

    Returns:
        [B, C, V] int32 positions in the image's h w pixels; -1 beyond a class's count.
    """
    b = len(labels)
    return smallest_in_groups(
        labels.reshape(b, -1),
        priority.reshape(b, -1),
        num_groups=num_classes,
        num_picks=num_picks,
    )


def draw_priority(rng: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Uniform priorities [B, h, w]; those of image b come from `fold_in(rng, b)`."""
    b, h, w = shape
    keys = jax.vmap(lambda image: jax.random.fold_in(rng, image))(jnp.arange(b))
    return jax.vmap(lambda key: jax.random.uniform(key, (h, w)))(keys)


def check_group_size(group_size: int, batch_size: int) -> int:
    """The number of images in a group; the whole batch for 0.

    Raises:
        ValueError: if the batch does not split into groups of that size.
    """
    if group_size == 0:
        return batch_size
    if group_size < 0 or batch_size % group_size:
        raise ValueError(
            f"a batch of {batch_size} does not split into groups of {group_size} "
            "images: choose a divisor as config.method.group_size, or 0 for one group"
        )
    return group_size


def _kinds(labels: jax.Array, predictions: jax.Array, num_classes: int) -> jax.Array:
    """2 c for a hard pixel of class c, 2 c + 1 for an easy one, 2 C for no class."""
    labelled = (labels >= 0) & (labels < num_classes)
    kinds = 2 * labels.astype(jnp.int32) + (predictions == labels)
    return jnp.where(labelled, kinds, 2 * num_classes)


def _hard_and_easy(of_kinds: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """Splits [B, 2C, ...] into hard and easy [G, n, C, ...]."""
    b, kinds, *rest = of_kinds.shape
    both = of_kinds.reshape(b // n, n, kinds // 2, 2, *rest)
    return both[:, :, :, 0], both[:, :, :, 1]


def _budget(
    num_hard: jax.Array, num_easy: jax.Array, *, max_samples: int, max_views: int
) -> Pairs:
    """Shares a group's slots out to its pairs, then to hard and easy pixels."""
    qualified = num_hard + num_easy > max_views
    num_pairs = jnp.sum(qualified, axis=(1, 2), dtype=jnp.int32)
    views = jnp.clip(max_samples // jnp.maximum(num_pairs, 1), 1, max_views)
    # No more pairs than slots; each gives at least one anchor.
    flat = qualified.reshape(len(qualified), -1)
    fits = jnp.cumsum(flat, axis=1) <= max_samples
    qualified = (flat & fits).reshape(qualified.shape)

    v = views[:, None, None]
    enough_hard, enough_easy = 2 * num_hard >= v, 2 * num_easy >= v
    keep_hard = jnp.where(
        enough_hard & enough_easy,
        v // 2,
        jnp.where(enough_hard, v - num_easy, num_hard),
    )
    return Pairs(
        num_hard=num_hard,
        num_easy=num_easy,
        qualified=qualified,
        keep_hard=jnp.where(qualified, keep_hard, 0),
        keep_easy=jnp.where(qualified, v - keep_hard, 0),
        views=views,
    )


def _collect(pairs: Pairs, picks: jax.Array, max_samples: int) -> Anchors:
    """Puts what each pair keeps of its picks [B, 2C, V] into the group's slots."""
    groups, n, num_classes = pairs.qualified.shape
    positions = jnp.stack(_hard_and_easy(picks, n), axis=-2)  # [G, n, C, 2, V]
    order = jnp.cumsum(pairs.qualified.reshape(groups, -1), axis=1) - 1
    start = order.reshape(pairs.qualified.shape) * pairs.views[:, None, None]
    starts = jnp.stack([start, start + pairs.keep_hard], axis=-1)[..., None]
    kept = jnp.stack([pairs.keep_hard, pairs.keep_easy], axis=-1)[..., None]
    rank = jnp.arange(positions.shape[-1], dtype=jnp.int32)
    # Beyond the last slot nothing is written.
    slots = jnp.where(rank < kept, starts + rank, max_samples).reshape(groups, -1)

    def fill(initial: int | bool, values: jax.Array) -> jax.Array:
        empty = jnp.full((max_samples,), initial)
        place = jax.vmap(lambda at, value: empty.at[at].set(value, mode="drop"))
        return place(
            slots, jnp.broadcast_to(values, positions.shape).reshape(slots.shape)
        )

    class_ids = jnp.arange(num_classes, dtype=jnp.int32)[:, None, None]
    return Anchors(
        positions=fill(0, positions),
        labels=fill(-1, class_ids),
        hard=fill(False, jnp.asarray([True, False])[:, None]),
    )
