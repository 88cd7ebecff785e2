"""Where generated features stand beside real ones: label maps with unseen classes.

Each function gives a `Layout`. `sampled` and `iid` know the seen labels only;
`ground_truth` is the authors', which reads where unseen objects really are.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxseg.ops.components import first_pixels


class Layout(NamedTuple):
    """What a map of features is to hold.

    Attributes:
        labels: [B, h, w] int32 class of each position; outside [0, C) none.
        generated: [B, h, w] bool, where the feature is a generated one.
    """

    labels: jax.Array
    generated: jax.Array


def sampled(
    key: jax.Array,
    labels: jax.Array,
    *,
    num_classes: int,
    unseen: Sequence[int],
    share: float,
) -> Layout:
    """Gives some regions of the seen labels an unseen class each.

    Args:
        key: chooses regions and classes.
        labels: [B, h, w] seen class ids; ids outside [0, C) stay as they are.
        num_classes: C.
        unseen: class ids, all equally likely.
        share: probability of a region to be changed.
    """
    b, h, w = labels.shape
    names = jax.vmap(lambda one: first_pixels(one, num_classes=num_classes))(labels)
    places = jnp.minimum(names.reshape(b, -1), h * w - 1)
    # A draw for every pixel, of which each region takes its first pixel's.
    classes, chosen = (
        jnp.take_along_axis(draw.reshape(b, -1), places, axis=1).reshape(b, h, w)
        for draw in _draws(key, labels.shape, unseen, share)
    )
    return _relabelled(labels, classes, chosen, num_classes)


def iid(
    key: jax.Array,
    labels: jax.Array,
    *,
    num_classes: int,
    unseen: Sequence[int],
    share: float,
) -> Layout:
    """Gives each labelled position an unseen class by itself, as CaGNet; see above."""
    classes, chosen = _draws(key, labels.shape, unseen, share)
    return _relabelled(labels, classes, chosen, num_classes)


def ground_truth(
    labels: jax.Array, *, num_classes: int, unseen: Sequence[int]
) -> Layout:
    """Keeps the true labels: pictures with an unseen class are generated as a whole.

    Args:
        labels: [B, h, w] class ids with the unseen ones among them.
        num_classes: C.
        unseen: class ids.
    """
    labelled = (labels >= 0) & (labels < num_classes)
    has_unseen = shows_any(labels, unseen)
    return Layout(labels.astype(jnp.int32), labelled & has_unseen[:, None, None])


def shows_any(labels: jax.Array, classes: Sequence[int]) -> jax.Array:
    """Which pictures of labels [B, h, w] hold one of the classes, [B] bool."""
    found = jnp.isin(labels, jnp.asarray(classes, labels.dtype))
    return jnp.any(found, axis=(1, 2))


def _draws(
    key: jax.Array, shape: tuple[int, ...], unseen: Sequence[int], share: float
) -> tuple[jax.Array, jax.Array]:
    """An unseen class for every position, and whether it is taken."""
    class_key, share_key = jax.random.split(key)
    picks = jax.random.randint(class_key, shape, 0, len(unseen))
    chosen = jax.random.uniform(share_key, shape) < share
    return jnp.asarray(unseen, jnp.int32)[picks], chosen


def _relabelled(
    labels: jax.Array, classes: jax.Array, chosen: jax.Array, num_classes: int
) -> Layout:
    labelled = (labels >= 0) & (labels < num_classes)
    chosen = chosen & labelled
    return Layout(jnp.where(chosen, classes, labels).astype(jnp.int32), chosen)
