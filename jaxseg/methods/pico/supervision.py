"""The supervised part of PiCo's loss: whatever the network is published with."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxseg.losses.cross_entropy import segmentation_loss
from jaxseg.losses.mask_classification import mask_classification_loss
from jaxseg.methods.pico.sampling import check_group_size
from jaxseg.models.segmentor import Outputs

Maps = tuple[jax.Array, jax.Array | None, jax.Array]


def supervised_loss(
    outputs: Outputs,
    labels: jax.Array,
    *,
    class_weights: Sequence[float] = (),
    auxiliary_weight: float = 0.4,
    group_size: int = 0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The cross entropy of a class map, or MaskFormer's loss of all layers' queries.

    Args:
        outputs: of the segmentor in training.
        labels: [B, H, W] class ids; ids outside [0, C) do not count.
        class_weights: [C] of the cross entropy, () for none.
        auxiliary_weight: of the auxiliary head's cross entropy, if there is one.
        group_size: images whose cross entropy is averaged by itself; 0 for the mean of
            all pixels.

    Returns:
        [] loss, and its parts by name: `cross_entropy`, or `class`, `focal` and `dice`
        where queries are trained. All are 0 if no pixel counts.

    Raises:
        ValueError: for weights or groups of a cross entropy that there is not, or a
            batch that is not made of whole groups.
    """
    queries = outputs.queries
    if queries is not None:
        if len(class_weights) or group_size:
            raise ValueError(
                "class_weights and cross_entropy_per_group change a cross entropy of "
                "pixels, and this network is trained by classified masks: leave both "
                "out of config.method"
            )
        return mask_classification_loss(
            queries.class_logits, queries.mask_logits, labels
        )
    loss_of = functools.partial(
        segmentation_loss,
        class_weights=class_weights or None,
        auxiliary_weight=auxiliary_weight,
    )
    maps = outputs.logits, outputs.auxiliary, labels
    loss = mean_of_groups(loss_of, maps, group_size) if group_size else loss_of(*maps)
    return loss, {"cross_entropy": loss}


def mean_of_groups(
    loss_of: Callable[..., jax.Array], maps: Maps, group_size: int
) -> jax.Array:
    """The mean over groups of images of each group's own mean over its pixels.

    The authors' code has one group on each GPU, so that a pixel counts more in a group
    with few labelled ones. A group without any gives NaN there and does not count here.

    Args:
        loss_of: of logits, auxiliary logits and labels to [], 0 without labels.
        maps: these three: [B, H, W, C], the same or None, [B, H, W].
        group_size: consecutive images of a group; 0 for one group.

    Returns:
        [] float32; 0 with zero gradient if no pixel counts.

    Raises:
        ValueError: if the batch is not made of whole groups.
    """
    logits, _, labels = maps
    b, *_, num_classes = logits.shape
    n = check_group_size(group_size, b)

    def grouped(x: jax.Array) -> jax.Array:
        return x.reshape(b // n, n, *x.shape[1:])

    losses = jax.vmap(loss_of)(*jax.tree.map(grouped, maps))
    labelled = grouped((labels >= 0) & (labels < num_classes))
    counts = jnp.any(labelled, axis=(1, 2, 3))
    return jnp.sum(losses) / jnp.maximum(jnp.sum(counts), 1)
