"""Training the network over label patches: `pixelcnn_loss`."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg.data.labels import IGNORE
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.methods.cagnet import patches as patch_lib
from jaxseg.methods.cagnet.pixelcnn import PixelCNN

# A finite logit of classes that take no part: -inf would be NaN in products with 0.
_NOWHERE = -1e9


def pixelcnn_loss(
    params: Any,
    batch_stats: Any,
    patches: jax.Array,
    class_table: jax.Array,
    *,
    model: PixelCNN,
    seen: Sequence[int],
    key: jax.Array,
) -> tuple[jax.Array, Any]:
    """Mean cross entropy of the labels of patches, each given those before it.

    The condition is the patch's largest class, one for all its pixels. In the authors'
    code it is the very label to be predicted, position by position, so that their
    network can copy it. Only seen classes compete: a softmax over all would teach that
    unseen ones never occur.

    Args:
        params: of the network.
        batch_stats: its running statistics before.
        patches: [P, k, k] class ids of seen pictures, as `patches.draw` gives them.
            Ignored pixels are filled from neighbours as inputs, and are no targets;
            nor are labels of other classes.
        class_table: [C, E] word vectors.
        model: the network.
        seen: train ids of the seen classes.
        key: of the dropout.

    Returns:
        [] float32, 0 with zero gradient if no patch has a label; and the running
        statistics after, unchanged in that case.

    Raises:
        ValueError: if there is no seen class.
    """
    if not seen:
        raise ValueError(
            "the network over patches learns from seen classes: none given"
        )
    is_seen = jnp.zeros(len(class_table), bool).at[jnp.asarray(seen)].set(True)
    known = patches < len(class_table)
    targets = jnp.where(known & is_seen[jnp.where(known, patches, 0)], patches, IGNORE)
    filled = patch_lib.fill_ignored(targets, num_rounds=patches.shape[-1] // 2)
    is_there = jnp.any(targets != IGNORE, axis=(1, 2))
    any_there = jnp.any(is_there)
    logits, updates = model.apply(
        {"params": params, "batch_stats": batch_stats},
        filled,
        patch_lib.largest_class(filled)[:, None, None],
        class_table,
        train=True,
        is_there=is_there | ~any_there,  # statistics of nothing would be NaN
        mutable=["batch_stats"],
        rngs={"dropout": key},
    )
    loss = cross_entropy(jnp.where(is_seen, logits, _NOWHERE), targets)
    after = jax.tree.map(
        lambda new, old: jnp.where(any_there, new, old),
        updates["batch_stats"],
        batch_stats,
    )
    return loss, after
