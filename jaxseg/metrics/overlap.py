"""Pixels of each class in the truth, in the prediction, and in both: `overlap`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxseg.metrics.measure import check_same_shape, labelled

NOWHERE = -1  # the id of a pixel that does not count


class Overlap(NamedTuple):
    """Pixels by class, [..., C]: all that an intersection over union needs.

    Attributes:
        truth: of the class.
        prediction: predicted as the class.
        both: of the class and predicted as such.
    """

    truth: Any
    prediction: Any
    both: Any


def overlap(truth: jax.Array, prediction: jax.Array, *, num_classes: int) -> Overlap:
    """Counts the pixels of each class, picture by picture.

    Ids outside [0, C) count nowhere; see `countable` for what should not.

    Args:
        truth: [B, H, W] integer ids.
        prediction: [B, H, W] integer ids.
        num_classes: C.

    Returns:
        int32 [B, C] each.
    """
    both = jnp.where(truth == prediction, truth, NOWHERE)
    maps = Overlap(truth, prediction, both)
    return Overlap(*(histogram(ids, num_bins=num_classes) for ids in maps))


def countable(
    truth: jax.Array, prediction: jax.Array, *, num_classes: int
) -> tuple[jax.Array, jax.Array]:
    """Takes the pixels that are not labelled out of both maps.

    Args:
        truth: [B, H, W] integer ids.
        prediction: [B, H, W] integer ids.
        num_classes: C.

    Returns:
        Both maps in int32, -1 where the true id is outside [0, C).

    Raises:
        ValueError: if the shapes differ.
    """
    check_same_shape(truth, prediction)
    counts = labelled(truth, num_classes=num_classes)
    return (
        jnp.where(counts, truth.astype(jnp.int32), NOWHERE),
        jnp.where(counts, prediction.astype(jnp.int32), NOWHERE),
    )


def histogram(ids: jax.Array, *, num_bins: int) -> jax.Array:
    """Counts the ids of each picture.

    Args:
        ids: [B, H, W] integers; those outside [0, num_bins) do not count.
        num_bins: how many there are.

    Returns:
        [B, num_bins] int32.
    """

    def of_picture(ids: jax.Array) -> jax.Array:
        inside = jnp.where((ids >= 0) & (ids < num_bins), ids, NOWHERE)  # is dropped
        return jax.ops.segment_sum(jnp.ones_like(inside), inside, num_bins)

    # One by one: where pictures are spread over devices, they stay where they are.
    return jax.vmap(of_picture)(ids.reshape(len(ids), -1).astype(jnp.int32))


def total(counts: Any) -> Any:
    """Adds the pictures of a batch up: [B, ...] to [...] in every array of a tree."""
    return jax.tree.map(lambda array: jnp.sum(array, axis=0), counts)
