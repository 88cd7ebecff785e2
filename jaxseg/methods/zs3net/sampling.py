"""Real features to learn from: positions of every class in every picture."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxseg.ops.selection import nth_true


class Pairs(NamedTuple):
    """The classes that pictures show, at most M each, and features of them.

    Attributes:
        labels: [B, M] int32 class ids; -1 where there are fewer.
        features: [B, M, Q, D] of Q positions each, drawn with replacement.
    """

    labels: jax.Array
    features: jax.Array


def sample_pairs(
    key: jax.Array,
    features: jax.Array,
    labels: jax.Array,
    *,
    num_classes: int,
    max_classes: int,
    samples: int,
) -> Pairs:
    """Draws positions of each class in each picture.

    Args:
        key: draws them, and the classes of pictures that show more than M.
        features: [B, h, w, D].
        labels: [B, h, w] class ids; positions outside [0, C) are never drawn.
        num_classes: C.
        max_classes: M.
        samples: Q.
    """
    b, h, w, d = features.shape
    class_key, position_key = jax.random.split(key)
    flat = labels.reshape(b, h * w)
    classes = _present_classes(class_key, flat, num_classes, max_classes)  # [B, M]
    masks = flat[:, None] == classes[..., None]  # [B, M, N]
    counts = jnp.sum(masks, axis=-1, keepdims=True)
    draws = jax.random.uniform(position_key, (*classes.shape, samples))
    ranks = jnp.minimum((draws * counts).astype(jnp.int32), counts - 1)
    places = nth_true(masks, ranks).reshape(b, -1)
    taken = jnp.take_along_axis(features.reshape(b, h * w, d), places[..., None], 1)
    return Pairs(classes, taken.reshape(*classes.shape, samples, d))


def _present_classes(
    key: jax.Array, labels: jax.Array, num_classes: int, max_classes: int
) -> jax.Array:
    """The classes of each row [B, N], -1 in places that are left over."""
    present = jnp.any(labels[..., None] == jnp.arange(num_classes), axis=1)  # [B, C]
    order = jnp.where(present, jax.random.uniform(key, present.shape), -1.0)
    found, classes = jax.lax.top_k(order, min(max_classes, num_classes))
    return jnp.where(found >= 0, classes, -1)
