"""MaskFormer's loss (Cheng et al. 2021): every class of a picture finds its query.

Read `mask_classification_loss` first. The targets of a picture are the classes that its
label map shows; each is matched with one of Q queries, which is to say "this class" and
to draw its mask, and the queries left over are to say "no object".

Pixels with ids outside [0, C), 255 among them, are not labelled and count nowhere; in
the authors' code they belong to no mask. Pictures without a labelled pixel do not count
at all. All arithmetic is float32.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.ops.assignment import assign
from jaxseg.ops.resize import resize_bilinear, resize_nearest

ALPHA, GAMMA = 0.25, 2  # of the focal loss (Lin et al. 2017)
HIGHEST = lax.Precision.HIGHEST


def mask_classification_loss(
    class_logits: jax.Array,
    mask_logits: jax.Array,
    labels: jax.Array,
    *,
    class_weight: float = 1.0,
    focal_weight: float = 20.0,
    dice_weight: float = 1.0,
    no_object_weight: float = 0.1,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Classification, focal and dice loss of the queries after each decoder layer.

    Each layer is matched by itself (`match`), with the same weights, and the layers'
    losses are added up. With T the number of targets in the batch, 1 if there is none,

        L = class_weight  sum_q w_q (-log softmax(class_logits_q)[t_q]) / sum_q w_q
          + focal_weight / T  sum_targets focal + dice_weight / T  sum_targets dice,

    t_q the class of a matched query, w_q = 1, and "no object" for others, w_q =
    no_object_weight. The masks are compared at the labels' size.

    Args:
        class_logits: [L, B, Q, C + 1]; the last entry is "no object".
        mask_logits: [L, B, Q, h, w], of a pixel being the query's.
        labels: [B, H, W] integer class ids; ids outside [0, C) do not count.
        class_weight: of the cross entropy, in the matching as in the loss.
        focal_weight: of the focal loss, likewise.
        dice_weight: of the dice loss, likewise.
        no_object_weight: of queries without a target in the cross entropy.

    Returns:
        [] loss, and the three terms that it is the sum of; all 0, with zero gradient,
        if no pixel is labelled.

    Raises:
        ValueError: if the shapes do not go together.
    """
    _check(class_logits, mask_logits, labels)
    class_logits = class_logits.astype(jnp.float32)
    mask_logits = mask_logits.astype(jnp.float32)
    matching = functools.partial(
        match,
        class_weight=class_weight,
        focal_weight=focal_weight,
        dice_weight=dice_weight,
    )
    query = jax.vmap(matching, in_axes=(0, 0, None))(class_logits, mask_logits, labels)
    num_targets = jnp.sum(_present(labels, class_logits.shape[-1] - 1))

    entropy = _class_entropy(class_logits, query, labels, no_object_weight)
    focal, dice = _mask_losses(mask_logits, query, labels)
    terms = {
        "class": class_weight * entropy,
        "focal": focal_weight * focal / jnp.maximum(num_targets, 1),
        "dice": dice_weight * dice / jnp.maximum(num_targets, 1),
    }
    return sum(terms.values(), jnp.zeros(())), terms


def match(
    class_logits: jax.Array,
    mask_logits: jax.Array,
    labels: jax.Array,
    *,
    class_weight: float = 1.0,
    focal_weight: float = 20.0,
    dice_weight: float = 1.0,
) -> jax.Array:
    """Finds the queries for the classes of each picture at the least total cost.

    The cost of query q for class c is -class_weight softmax(class_logits_q)[c] +
    focal_weight focal + dice_weight dice, on label maps reduced to the masks' size (to
    the nearest pixel). There is no gradient.

    Args:
        class_logits: [B, Q, C + 1]; the last entry is "no object".
        mask_logits: [B, Q, h, w].
        labels: [B, H, W] integer class ids; ids outside [0, C) do not count.
        class_weight: of the probability.
        focal_weight: of the mean focal loss over labelled pixels.
        dice_weight: of the dice loss.

    Returns:
        [B, C] int32 the query of each class; -1 for a class that the picture does not
        show, and for those left out if it shows more than Q.
    """
    *_, num_classes = class_logits.shape
    num_classes -= 1
    probability = jax.nn.softmax(class_logits.astype(jnp.float32))[..., :num_classes]
    focal, dice = _pairwise_costs(mask_logits, labels, num_classes)
    cost = focal_weight * focal + dice_weight * dice - class_weight * probability
    cost = lax.stop_gradient(cost.swapaxes(1, 2))  # [B, C, Q]

    # Present classes first: only their rows take part.
    present = _present(labels, num_classes)
    order = jnp.argsort(~present, axis=1)
    cost = jnp.take_along_axis(cost, order[..., None], axis=1)
    query = jax.vmap(assign)(cost, jnp.sum(present, axis=1))
    return jnp.take_along_axis(query, jnp.argsort(order, axis=1), axis=1)


def _check(class_logits: jax.Array, mask_logits: jax.Array, labels: jax.Array) -> None:
    if class_logits.shape[:3] != mask_logits.shape[:3] or (
        class_logits.shape[1] != labels.shape[0]
    ):
        raise ValueError(
            f"class_logits {class_logits.shape}, mask_logits {mask_logits.shape} and "
            f"labels {labels.shape} do not go together: give [L, B, Q, C + 1], "
            "[L, B, Q, h, w] and [B, H, W]"
        )


def _labelled(labels: jax.Array, num_classes: int) -> jax.Array:
    return (labels >= 0) & (labels < num_classes)


def _present(labels: jax.Array, num_classes: int) -> jax.Array:
    """Which classes a picture shows, [B, C]."""
    b, *_ = labels.shape
    ids = jnp.where(_labelled(labels, num_classes), labels, num_classes)
    shown = jnp.zeros((b, num_classes), bool)
    # Ids out of range are dropped.
    return shown.at[jnp.arange(b)[:, None], ids.reshape(b, -1)].set(True, mode="drop")


def _focal_terms(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The focal loss of pixels inside the mask, and of those outside."""
    probability = jax.nn.sigmoid(logits)
    inside = ALPHA * (1 - probability) ** GAMMA * jax.nn.softplus(-logits)
    outside = (1 - ALPHA) * probability**GAMMA * jax.nn.softplus(logits)
    return inside, outside


def _pairwise_costs(
    mask_logits: jax.Array, labels: jax.Array, num_classes: int
) -> tuple[jax.Array, jax.Array]:
    """Focal and dice loss of every query for every class, [B, Q, C] each."""
    *_, h, w = mask_logits.shape
    logits = lax.stop_gradient(mask_logits.astype(jnp.float32))
    labels = resize_nearest(labels, (h, w))
    labelled = _labelled(labels, num_classes).astype(jnp.float32)
    masks = jax.nn.one_hot(labels, num_classes)  # unlabelled pixels are zero rows

    def inside_masks(values):
        return jnp.einsum("bqhw,bhwc->bqc", values, masks, precision=HIGHEST)

    def inside_picture(values):
        return jnp.einsum("bqhw,bhw->bq", values, labelled, precision=HIGHEST)

    inside, outside = _focal_terms(logits)
    focal = inside_masks(inside - outside) + inside_picture(outside)[..., None]
    num_labelled = jnp.sum(labelled, axis=(1, 2))[:, None, None]
    focal = focal / jnp.maximum(num_labelled, 1)

    probability = jax.nn.sigmoid(logits)
    area = jnp.sum(masks, axis=(1, 2))[:, None]
    total = inside_picture(probability)[..., None] + area
    return focal, _dice(inside_masks(probability), total)


def _dice(common: jax.Array, total: jax.Array) -> jax.Array:
    """1 - 2 |x and y| / (|x| + |y|), smoothed by one pixel."""
    return 1 - (2 * common + 1) / (total + 1)


def _class_entropy(
    class_logits: jax.Array,
    query: jax.Array,
    labels: jax.Array,
    no_object_weight: float,
) -> jax.Array:
    """The weighted cross entropy of all queries, summed over layers, []."""
    num_layers, b, num_queries, num_classes = class_logits.shape
    num_classes -= 1
    layer, image, classes = jnp.indices(query.shape, sparse=True)
    # A query of -1 would be the last one; what is out of range is dropped.
    place = layer, image, jnp.where(query < 0, num_queries, query)
    targets = jnp.full((num_layers, b, num_queries), num_classes)
    targets = targets.at[place].set(classes, mode="drop")

    counts = jnp.any(_labelled(labels, num_classes), axis=(1, 2))[:, None]
    weights = jnp.where(targets == num_classes, no_object_weight, 1.0) * counts
    scores = jax.nn.log_softmax(class_logits)
    losses = -jnp.take_along_axis(scores, targets[..., None], axis=-1)[..., 0]
    total = jnp.sum(weights, axis=(1, 2))
    means = jnp.sum(weights * losses, axis=(1, 2)) / jnp.where(total > 0, total, 1.0)
    return jnp.sum(means)


def _mask_losses(
    mask_logits: jax.Array, query: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Focal and dice loss of the matched masks, summed over everything, [] each.

    Masks are enlarged to the labels' size a few at a time: slot k has the k-th matched
    class of each layer and picture, and a slot that is empty in all of them costs
    nothing. The backward pass enlarges them again.
    """
    _, _, num_queries, *_ = mask_logits.shape
    *_, num_classes = query.shape
    num_slots = min(num_queries, num_classes)
    classes = jnp.argsort(query < 0, axis=-1)[..., :num_slots]  # [L, B, K]
    query = jnp.take_along_axis(query, classes, axis=-1)
    logits = jnp.take_along_axis(
        mask_logits, jnp.maximum(query, 0)[..., None, None], axis=2
    )

    def enlarged(logits, classes, filled):
        return _slot_losses(logits, classes, filled, labels, num_classes)

    def add(totals, slot):
        logits, classes, filled = slot
        focal, dice = lax.cond(
            jnp.any(filled),
            jax.checkpoint(enlarged),
            lambda *_: (jnp.zeros(()), jnp.zeros(())),
            logits,
            classes,
            filled,
        )
        return (totals[0] + focal, totals[1] + dice), None

    slots = (
        jnp.moveaxis(logits, 2, 0),
        jnp.moveaxis(classes, 2, 0),
        jnp.moveaxis(query >= 0, 2, 0),
    )
    totals, _ = lax.scan(add, (jnp.zeros(()), jnp.zeros(())), slots)
    return totals


def _slot_losses(
    logits: jax.Array,
    classes: jax.Array,
    filled: jax.Array,
    labels: jax.Array,
    num_classes: int,
) -> tuple[jax.Array, jax.Array]:
    """Focal and dice loss, [] each, of a mask of each layer and picture.

    Args:
        logits: [L, B, h, w].
        classes: [L, B] what the masks are to cover.
        filled: [L, B] which masks count.
        labels: [B, H, W].
        num_classes: C.
    """
    num_layers, b, h, w = logits.shape
    _, height, width = labels.shape
    logits = resize_bilinear(
        logits.reshape(num_layers * b, h, w, 1), (height, width), align_corners=False
    ).reshape(num_layers, b, height, width)
    mask = labels == classes[..., None, None]
    labelled = _labelled(labels, num_classes)

    inside, outside = _focal_terms(logits)
    pixels = jnp.where(mask, inside, outside) * labelled
    num_labelled = jnp.maximum(jnp.sum(labelled, axis=(1, 2)), 1)
    focal = jnp.sum(pixels, axis=(2, 3)) / num_labelled

    probability = jax.nn.sigmoid(logits) * labelled
    common = jnp.sum(probability * mask, axis=(2, 3))
    total = jnp.sum(probability, axis=(2, 3)) + jnp.sum(mask, axis=(2, 3))
    dice = _dice(common, total)
    return jnp.sum(focal * filled), jnp.sum(dice * filled)
