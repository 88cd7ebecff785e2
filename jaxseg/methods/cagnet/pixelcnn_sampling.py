"""Drawing patches, mostly of unseen classes, from a trained network: `sample`."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg.methods.cagnet import patches as patch_lib
from jaxseg.methods.cagnet.patch_priors import check_unseen
from jaxseg.methods.cagnet.pixelcnn import PixelCNN


def sample(
    key: jax.Array,
    variables: Any,
    class_table: jax.Array,
    *,
    model: PixelCNN,
    unseen: Sequence[int],
    num_patches: int,
    side: int = 3,
    num_preset: int | None = None,
    min_unseen: int | None = None,
    max_classes: int = 3,
    oversampling: int = 4,
) -> jax.Array:
    """Draws patches, one label after the other in raster order.

    Each patch has an unseen class, drawn uniformly, as its condition and as its first
    labels. The others are drawn from the softmax of the network's logits; the authors'
    code takes a softmax of probabilities there, which is nearly uniform. Of each
    patch's candidates the first acceptable one is taken, and if there is none, a patch
    of the unseen class alone. Shapes are static: no candidate is ever drawn again.

    Args:
        key: of the draw.
        variables: of the network, {"params": ..., "batch_stats": ...}.
        class_table: [C, E] word vectors.
        model: the network.
        unseen: train ids of the unseen classes.
        num_patches: P.
        side: k.
        num_preset: how many labels are the unseen class from the start; None for half
            of them, rounded up, which are the authors' 5 of 9.
        min_unseen: how many pixels of unseen classes a patch has at least; None for
            seven ninths, rounded up, the authors' 7 of 9.
        max_classes: how many classes it has at most.
        oversampling: candidates for each patch.

    Returns:
        [P, k, k] int32 class ids.

    Raises:
        ValueError: if there is no unseen class, or the numbers do not fit the side.
    """
    check_unseen(unseen)
    num_pixels = side * side
    if num_preset is None:
        num_preset = (num_pixels + 1) // 2
    if min_unseen is None:
        min_unseen = -(-7 * num_pixels // 9)
    if not 0 <= num_preset <= num_pixels or min_unseen > num_pixels or oversampling < 1:
        raise ValueError(
            f"patches of {side} x {side} cannot have {num_preset} preset and "
            f"{min_unseen} unseen pixels, of {oversampling} candidates"
        )
    class_key, label_key = jax.random.split(key)
    unseen_ids = jnp.asarray(unseen, jnp.int32)
    index = jax.random.randint(class_key, (num_patches,), 0, len(unseen))
    main_class = unseen_ids[index]
    condition = jnp.repeat(main_class, oversampling)[:, None]  # [P O, 1]

    def draw_next(position: jax.Array, labels: jax.Array) -> jax.Array:
        logits: Any = model.apply(
            variables,
            labels.reshape(-1, side, side),
            condition[:, None],
            class_table,
            train=False,
        )
        there = logits.reshape(len(labels), num_pixels, -1)[:, position]
        drawn = jax.random.categorical(jax.random.fold_in(label_key, position), there)
        return labels.at[:, position].set(drawn.astype(jnp.int32))

    start = jnp.broadcast_to(condition, (len(condition), num_pixels))
    labels = jax.lax.fori_loop(num_preset, num_pixels, draw_next, start)

    candidates = labels.reshape(num_patches, oversampling, side, side)
    is_unseen = jnp.zeros(len(class_table), bool).at[unseen_ids].set(True)
    accepted = patch_lib.is_acceptable(
        candidates, is_unseen, min_unseen=min_unseen, max_classes=max_classes
    )  # [P, O]
    first = jnp.argmax(accepted, axis=1)
    chosen = jnp.take_along_axis(candidates, first[:, None, None, None], axis=1)[:, 0]
    any_accepted = jnp.any(accepted, axis=1)[:, None, None]
    return jnp.where(any_accepted, chosen, main_class[:, None, None])
