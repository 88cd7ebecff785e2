"""Training the network over label patches: `pixelcnn_loss`, then `with_unseen`."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg.data.labels import IGNORE
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.methods.cagnet import patches as patch_lib
from jaxseg.methods.cagnet.patch_priors import check_unseen
from jaxseg.methods.cagnet.pixelcnn import PixelCNN


def pixelcnn_loss(
    params: Any,
    batch_stats: Any,
    patches: jax.Array,
    class_table: jax.Array,
    *,
    model: PixelCNN,
    unseen: Sequence[int],
    key: jax.Array,
) -> tuple[jax.Array, Any]:
    """Mean cross entropy of the labels of patches, each given those before it.

    The condition is the patch's largest class, one for all its pixels, after
    `with_unseen`. In the authors' code it is the very label to be predicted, position
    by position, so that their network can copy it.

    Args:
        params: of the network.
        batch_stats: its running statistics before.
        patches: [P, k, k] class ids of seen pictures, as `patches.draw` gives them.
            Ignored pixels are filled from neighbours as inputs, and are no targets.
        class_table: [C, E] word vectors.
        model: the network.
        unseen: train ids of the unseen classes.
        key: of the unseen classes and the dropout.

    Returns:
        [] float32, 0 with zero gradient if no patch has a label; and the running
        statistics after, unchanged in that case.

    Raises:
        ValueError: if there is no unseen class.
    """
    class_key, dropout_key = jax.random.split(key)
    filled = patch_lib.fill_ignored(patches, num_rounds=patches.shape[-1] // 2)
    inputs, condition = with_unseen(class_key, filled, class_table, unseen=unseen)
    targets = jnp.where(patches == IGNORE, IGNORE, inputs)
    is_there = jnp.any(targets != IGNORE, axis=(1, 2))
    any_there = jnp.any(is_there)
    logits, updates = model.apply(
        {"params": params, "batch_stats": batch_stats},
        inputs,
        condition[:, None, None],
        class_table,
        train=True,
        is_there=is_there | ~any_there,  # statistics of nothing would be NaN
        mutable=["batch_stats"],
        rngs={"dropout": dropout_key},
    )
    after = jax.tree.map(
        lambda new, old: jnp.where(any_there, new, old),
        updates["batch_stats"],
        batch_stats,
    )
    return cross_entropy(logits, targets), after


def with_unseen(
    key: jax.Array,
    patches: jax.Array,
    class_table: jax.Array,
    *,
    unseen: Sequence[int],
    temperature: float = 0.1,
) -> tuple[jax.Array, jax.Array]:
    """Replaces the largest class of seen patches by an unseen one of similar meaning.

    p(u | c) is proportional to exp(w_u . w_c / temperature): sheep come to stand where
    horses do. This is ours. The authors train on the seen classes as they are; such a
    network says, rightly, that unseen ones never occur, and of patches drawn from it
    by its own probabilities few are of unseen classes.

    Args:
        key: of the draw.
        patches: [P, k, k] class ids; 255 stays.
        class_table: [C, E] unit word vectors.
        unseen: train ids of the unseen classes.
        temperature: the smaller, the more alike.

    Returns:
        [P, k, k] the patches after, and [P] the unseen class of each.

    Raises:
        ValueError: if there is no unseen class.
    """
    check_unseen(unseen)
    unseen_ids = jnp.asarray(unseen, jnp.int32)
    largest = patch_lib.largest_class(patches)
    vectors = class_table.at[largest].get(mode="fill", fill_value=0.0)
    similarity = vectors @ class_table[unseen_ids].T  # [P, unseen]
    index = jax.random.categorical(key, similarity / temperature)
    replacement = unseen_ids[index]
    is_largest = (patches == largest[:, None, None]) & (patches != IGNORE)
    return jnp.where(is_largest, replacement[:, None, None], patches), replacement
