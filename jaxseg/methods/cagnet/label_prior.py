"""From which classes labels are drawn for synthesis: `log_prior`, `sample_labels`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.labels import LabelSet


def log_prior(labels: LabelSet, unseen_rate: float | jax.Array) -> jax.Array:
    """The distribution of synthesised labels: unseen classes 1 + r times as often.

    p_c is proportional to 1 for seen classes and to 1 + r for unseen ones (the
    authors' code).

    Args:
        labels: with its split into seen and unseen.
        unseen_rate: r >= -1; may be traced, so that it changes without compiling again.

    Returns:
        [C] float32 log probabilities, in train-id order.

    Raises:
        ValueError: if the classes are not split, or a known rate is below -1.
    """
    if not labels.unseen:
        raise ValueError(
            "labels have no unseen classes to synthesise: split them, as by "
            "config.data.unseen"
        )
    if not isinstance(unseen_rate, jax.Array) and not unseen_rate >= -1:
        raise ValueError(f"unseen_rate is {unseen_rate}, which must be at least -1")
    unseen = np.isin(np.arange(labels.num_classes), labels.unseen)
    weights = 1.0 + jnp.asarray(unseen_rate, jnp.float32) * unseen
    return jnp.log(weights / jnp.sum(weights))


def sample_labels(
    key: jax.Array, shape: tuple[int, ...], log_prior: jax.Array
) -> jax.Array:
    """Draws class ids independently, by the inverse of the distribution function.

    One uniform number a label, where Gumbel noise would take one a class.

    Args:
        key: of the draw.
        shape: of the result.
        log_prior: [C] log probabilities up to a constant; a class with -inf is never
            drawn.

    Returns:
        int32 class ids of `shape`.
    """
    cumulative = jnp.cumsum(jax.nn.softmax(log_prior))
    # The end becomes exactly 1, which no draw reaches, whatever the rounding before.
    cumulative = cumulative / cumulative[-1]
    draws = jax.random.uniform(key, shape)
    return jnp.searchsorted(
        cumulative, draws, side="right", method="compare_all"
    ).astype(jnp.int32)
