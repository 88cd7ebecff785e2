"""Which pixels become anchors, and which are remembered; read `choose_anchors`.

`choose_random_anchors` and `choose_anchors_per_class` are other rules for the former.
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

    Where anchors are chosen per class, the images of a group count as one: n = 1.

    Attributes:
        num_hard: [G, n, C] int32, the pixels of the class that the head has wrong.
        num_easy: [G, n, C] int32, those that it has right.
        qualified: [G, n, C] bool, whether the pair gives anchors.
        keep_hard: [G, n, C] int32, how many wrong ones are anchors; 0 if not qualified.
        keep_easy: [G, n, C] int32, how many right ones are.
        views: [G] int32, anchors of every qualified pair; the most, if per class.
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
    found = _find(labels, predictions, priority, num_classes, max_views, group_size)
    qualified, views = _qualify(found, max_samples=max_samples, max_views=max_views)
    v = views[:, None, None]
    enough_hard, enough_easy = 2 * found.num_hard >= v, 2 * found.num_easy >= v
    keep_hard = jnp.where(
        enough_hard & enough_easy,
        v // 2,
        jnp.where(enough_hard, v - found.num_easy, found.num_hard),
    )
    pairs = _pairs(found, qualified, keep_hard, v - keep_hard, views)
    return _collect(pairs, found.positions, max_samples), pairs


def choose_random_anchors(
    labels: jax.Array,
    predictions: jax.Array,
    priority: jax.Array,
    *,
    num_classes: int,
    max_samples: int,
    max_views: int,
    group_size: int,
) -> tuple[Anchors, Pairs]:
    """Chooses anchors of every class in every image, whether misclassified or not.

    Pairs and their number of anchors are those of `choose_anchors`; the anchors of a
    pair are drawn uniformly from all its pixels. This is the random anchor sampling
    that the paper's ablation compares with.

    Args:
        labels: [B, h, w] class ids; ids outside [0, C) are never chosen.
        predictions: [B, h, w] class ids that the head gives; told, but not followed.
        priority: [B, h, w] float32; the smallest of a pair are chosen.
        num_classes: C.
        max_samples: A, anchor slots of a group.
        max_views: most anchors of a pair, and its threshold.
        group_size: n, consecutive images that share the slots; 0 for the whole batch.

    Returns:
        As `choose_anchors`; `keep_hard` is how many of the drawn ones are hard.
    """
    found = _find(labels, predictions, priority, num_classes, max_views, group_size)
    qualified, views = _qualify(found, max_samples=max_samples, max_views=max_views)
    v = views[:, None, None]
    keep_hard = jnp.take_along_axis(found.hard_among, v[..., None] - 1, axis=3)[..., 0]
    pairs = _pairs(found, qualified, keep_hard, v - keep_hard, views)
    return _collect(pairs, found.positions, max_samples), pairs


def choose_anchors_per_class(
    labels: jax.Array,
    predictions: jax.Array,
    priority: jax.Array,
    *,
    num_classes: int,
    anchors_per_class: int,
    group_size: int,
) -> tuple[Anchors, Pairs]:
    """Chooses the same number of anchors of every class, over all images of a group.

    Of every class, ceil(K / 2) of its pixels in the group's images are drawn at random,
    then floor(K / 2) of the remaining misclassified ones; where these are too few,
    others of the class take their place. This is the paper's rule (50 a category and
    mini-batch, half of them hard), which the authors' code does not have.

    There is no threshold: a class of no more than K pixels gives all of them, so that
    rare classes have anchors. An image gives as many as its share of the class's pixels
    makes likely, maybe none.

    Args:
        labels: [B, h, w] class ids; ids outside [0, C) are never chosen.
        predictions: [B, h, w] class ids that the head gives.
        priority: [B, h, w] float32; the smallest of a set are chosen.
        num_classes: C.
        anchors_per_class: K.
        group_size: n, consecutive images that share the slots; 0 for the whole batch.

    Returns:
        The anchors in A = C K slots, class by class, those of a class together, hard
        before easy, each by ascending priority; and the counts that led to them.
    """
    b, h, w = labels.shape
    n = check_group_size(group_size, b)
    # The images of a group are one tall image.
    labels, predictions, priority = (
        x.reshape(b // n, n * h, w) for x in (labels, predictions, priority)
    )
    k = anchors_per_class
    found = _find(labels, predictions, priority, num_classes, k, group_size=1)
    drawn = found.hard_among[..., k - k // 2 - 1]
    keep_hard = jnp.minimum(found.num_hard, drawn + k // 2)
    keep_easy = jnp.minimum(found.num_easy, k - keep_hard)
    qualified = found.num_hard + found.num_easy > 0
    views = jnp.full(len(qualified), k, jnp.int32)
    pairs = _pairs(found, qualified, keep_hard, keep_easy, views)
    return _collect(pairs, found.positions, num_classes * k), pairs


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


class _Found(struct.PyTreeNode):
    """What there is to choose from in every pair of an image and a class.

    Attributes:
        num_hard: [G, n, C] int32, pixels that the head has wrong.
        num_easy: [G, n, C] int32, pixels that it has right.
        positions: [G, n, C, 2, V] int32, the V hard and easy ones of the smallest
            priorities, by ascending priority, in the group's pixels; any number where
            there are fewer.
        hard_among: [G, n, C, V] int32, how many of the pair's 1, 2, ... V pixels of the
            smallest priorities are hard.
    """

    num_hard: jax.Array
    num_easy: jax.Array
    positions: jax.Array
    hard_among: jax.Array


def _find(
    labels: jax.Array,
    predictions: jax.Array,
    priority: jax.Array,
    num_classes: int,
    num_picks: int,
    group_size: int,
) -> _Found:
    b, h, w = labels.shape
    n = check_group_size(group_size, b)
    priority = priority.reshape(b, h * w)
    kinds = _kinds(labels, predictions, num_classes).reshape(b, h * w)
    count = jax.vmap(lambda kind: jnp.bincount(kind, length=2 * num_classes + 1))
    num_hard, num_easy = _hard_and_easy(count(kinds)[:, :-1].astype(jnp.int32), n)
    picks = smallest_in_groups(
        kinds, priority, num_groups=2 * num_classes, num_picks=num_picks
    )
    hard_among = _hard_among(picks, priority)
    # Positions count through the group's images, one after the other.
    first = jnp.arange(b, dtype=jnp.int32)[:, None, None] % n * (h * w)
    return _Found(
        num_hard=num_hard,
        num_easy=num_easy,
        positions=jnp.stack(_hard_and_easy(picks + first, n), axis=-2),
        hard_among=hard_among.reshape(b // n, n, num_classes, num_picks),
    )


def _hard_among(picks: jax.Array, priority: jax.Array) -> jax.Array:
    """How many of the first 1 ... V pixels of a class are hard, [B, C, V].

    Args:
        picks: [B, 2C, V] the first hard and easy ones of every class, -1 for none.
        priority: [B, N] of the pixels.
    """
    b, kinds, num_picks = picks.shape
    there = picks >= 0
    at = jnp.where(there, picks, 0).reshape(b, -1)
    order = jnp.take_along_axis(priority, at, axis=1).reshape(picks.shape)
    order = jnp.where(there, order, jnp.inf)
    hard = there & (jnp.arange(kinds) % 2 == 0)[:, None]
    both = b, kinds // 2, 2 * num_picks
    # Equal priorities are in the order of the row, as in `smallest_in_groups`.
    *_, hard = jax.lax.sort(
        tuple(x.reshape(both) for x in (order, picks, hard)), num_keys=2
    )
    return jnp.cumsum(hard[..., :num_picks], axis=-1, dtype=jnp.int32)


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


def _qualify(
    found: _Found, *, max_samples: int, max_views: int
) -> tuple[jax.Array, jax.Array]:
    """Which pairs give anchors, [G, n, C] bool, and how many each of them, [G]."""
    qualified = found.num_hard + found.num_easy > max_views
    num_pairs = jnp.sum(qualified, axis=(1, 2), dtype=jnp.int32)
    views = jnp.clip(max_samples // jnp.maximum(num_pairs, 1), 1, max_views)
    # No more pairs than slots; each gives at least one anchor.
    flat = qualified.reshape(len(qualified), -1)
    fits = jnp.cumsum(flat, axis=1) <= max_samples
    return (flat & fits).reshape(qualified.shape), views


def _pairs(
    found: _Found,
    qualified: jax.Array,
    keep_hard: jax.Array,
    keep_easy: jax.Array,
    views: jax.Array,
) -> Pairs:
    return Pairs(
        num_hard=found.num_hard,
        num_easy=found.num_easy,
        qualified=qualified,
        keep_hard=jnp.where(qualified, keep_hard, 0),
        keep_easy=jnp.where(qualified, keep_easy, 0),
        views=views,
    )


def _collect(pairs: Pairs, positions: jax.Array, max_samples: int) -> Anchors:
    """Puts what pairs keep of positions [G, n, C, 2, V] into the group's slots."""
    groups, _, num_classes = pairs.qualified.shape
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
