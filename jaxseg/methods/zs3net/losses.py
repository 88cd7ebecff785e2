"""What ZS3Net minimises: `pair_losses` of the generator, `classifier_loss`."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.losses.mmd import mmd


def pair_losses(
    generated: jax.Array, real: jax.Array, *, bandwidths: Sequence[float]
) -> jax.Array:
    """The MMD of each set of generated features to its set of real ones.

    sqrt(mean k(x', x') + mean k(x, x) - 2 mean k(x', x)) with k the sum of Gaussian
    kernels, over all ordered pairs, those of a row with itself too. The release swaps
    the weights of the two sets where their sizes differ; here they are right.

    Args:
        generated: [..., Q, D]; gradients flow into these only.
        real: [..., R, D].
        bandwidths: of the kernels.

    Returns:
        [...] float32.
    """
    return mmd(
        generated,
        real,
        jnp.ones(generated.shape[:-1], jnp.float32),
        jnp.ones(real.shape[:-1], jnp.float32),
        bandwidths=bandwidths,
        scale=1.0,
    )


def node_losses(
    generated: jax.Array,
    real: jax.Array,
    labels: jax.Array,
    classes: jax.Array,
    *,
    bandwidths: Sequence[float],
) -> jax.Array:
    """The MMD of the generated to the real nodes of each class in each picture.

    Args:
        generated: [B, K, D]; gradients flow into these only.
        real: [B, K, D].
        labels: [B, K] class of each node.
        classes: [B, M] the classes to compare; -1 for none.
        bandwidths: of the kernels.

    Returns:
        [B, M] float32; 0 with zero gradient where a picture has no node of a class.
    """
    members = (labels[:, None] == classes[..., None]) & (classes >= 0)[..., None]
    weights = members.astype(jnp.float32)
    shape = (*weights.shape, generated.shape[-1])
    return mmd(
        jnp.broadcast_to(generated[:, None], shape),
        jnp.broadcast_to(real[:, None], shape),
        weights,
        weights,
        bandwidths=bandwidths,
        scale=1.0,
    )


def classifier_loss(
    logits: jax.Array, labels: jax.Array, *, class_weights: Sequence[float] | jax.Array
) -> jax.Array:
    """Weighted cross entropy of a batch's maps, divided by the number of pictures.

    sum_q w[t_q] (-log softmax(l_q)[t_q]) / sum_q w[t_q] / B; the division by B is the
    authors' code's, to which their learning rate belongs.

    Args:
        logits: [B, ..., C].
        labels: [B, ...] class ids; ids outside [0, C) do not count.
        class_weights: [C].

    Returns:
        [] float32; 0 with zero gradient if nothing counts.
    """
    return cross_entropy(logits, labels, class_weights=class_weights) / len(labels)


def mean_where(values: jax.Array, mask: jax.Array) -> jax.Array:
    """The mean of the values where the mask is true, [] float32; 0 if nowhere."""
    return jnp.sum(jnp.where(mask, values, 0.0)) / jnp.maximum(jnp.sum(mask), 1)
