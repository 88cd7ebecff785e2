"""Where the label patches of CaGNet v2 come from: `pure`, `empirical`.

A third prior, a network over labels, is in `pixelcnn_sampling`. All are drawn on the
device, inside the step, from a key; the authors draw files of patches beforehand.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxseg.methods.cagnet.label_prior import sample_labels
from jaxseg.methods.cagnet.layouts import MAX_PARTS, Layouts


def pure(
    key: jax.Array, log_prior: jax.Array, *, num_patches: int, side: int
) -> jax.Array:
    """Draws patches of one class each.

    Args:
        key: of the draw.
        log_prior: [C] of `label_prior.log_prior`.
        num_patches: P.
        side: k.

    Returns:
        [P, k, k] int32 class ids.
    """
    classes = sample_labels(key, (num_patches,), log_prior)
    return jnp.broadcast_to(classes[:, None, None], (num_patches, side, side))


def empirical(
    key: jax.Array,
    log_prior: jax.Array,
    layouts: Layouts,
    *,
    unseen: Sequence[int],
    num_patches: int,
) -> jax.Array:
    """Draws layouts of real patches, and fills their parts with random classes.

    The largest part gets an unseen class; the others get any, all different, by the
    prior.

    Args:
        key: of the draw.
        log_prior: [C] of `label_prior.log_prior`.
        layouts: to draw from; while it is empty, patches are `pure`.
        unseen: train ids of the unseen classes, of which one has a probability.
        num_patches: P.

    Returns:
        [P, k, k] int32 class ids.

    Raises:
        ValueError: if there is no unseen class.
    """
    layout_key, class_key, pure_key = jax.random.split(key, 3)
    index = jax.random.randint(
        layout_key, (num_patches,), 0, jnp.maximum(layouts.fill, 1)
    )
    parts = layouts.parts[index].astype(jnp.int32)  # [P, k, k]
    classes = _classes_of_parts(class_key, log_prior, unseen, num_patches)
    flat = parts.reshape(num_patches, -1)
    filled = jnp.take_along_axis(classes, flat, axis=1).reshape(parts.shape)
    side = parts.shape[-1]
    without = pure(pure_key, log_prior, num_patches=num_patches, side=side)
    return jnp.where(layouts.fill > 0, filled, without)


def mix(
    key: jax.Array, patches: jax.Array, others: jax.Array, share: float | jax.Array
) -> jax.Array:
    """Replaces a share of patches by others, at random.

    So that seen classes keep their place in the synthesised maps: of the authors' VOC
    patches a tenth are pure ones.

    Args:
        key: of the draw.
        patches: [P, k, k].
        others: [P, k, k], such as `pure` ones.
        share: probability of a replacement.

    Returns:
        [P, k, k].
    """
    replaced = jax.random.bernoulli(key, share, (len(patches),))
    return jnp.where(replaced[:, None, None], others, patches)


def check_unseen(unseen: Sequence[int]) -> None:
    """Raises ValueError if there is no class that a patch could be mostly of."""
    if not unseen:
        raise ValueError(
            "patches are mostly of unseen classes, and there are none: choose a "
            "zero-shot split of the data set"
        )


def _classes_of_parts(
    key: jax.Array, log_prior: jax.Array, unseen: Sequence[int], num_patches: int
) -> jax.Array:
    """Draws different classes for the parts of patches, the first unseen, [P, 3].

    Where the prior allows fewer than three classes, the first one is repeated.
    """
    check_unseen(unseen)
    is_unseen = jnp.zeros(log_prior.shape, bool).at[jnp.asarray(unseen)].set(True)
    largest_key, *other_keys = jax.random.split(key, MAX_PARTS)
    prior_of_largest = jnp.where(is_unseen, log_prior, -jnp.inf)
    chosen = [sample_labels(largest_key, (num_patches,), prior_of_largest)]
    left = jnp.broadcast_to(log_prior, (num_patches, *log_prior.shape))
    for other_key in other_keys:
        left = jnp.where(
            jax.nn.one_hot(chosen[-1], len(log_prior), dtype=bool), -jnp.inf, left
        )
        drawn = jax.random.categorical(other_key, left)
        any_left = jnp.any(jnp.isfinite(left), axis=1)
        chosen.append(jnp.where(any_left, drawn, chosen[0]))
    return jnp.stack(chosen, axis=1).astype(jnp.int32)
