"""How well transforms between tiles are found: `explained` and `rank_correlation`."""

import jax
import jax.numpy as jnp


def explained(found: jax.Array, true: jax.Array, counts: jax.Array) -> jax.Array:
    """The share of each parameter's variance that is explained, R^2.

    Args:
        found: [N, P] float32.
        true: [N, P] float32.
        counts: [N] bool, which rows count.

    Returns:
        [P] float32 up to 1, 0 for what is no better than the mean; 0 where fewer than
        two rows count.
    """
    weights = counts.astype(jnp.float32)[:, None]
    mean = jnp.sum(weights * true, axis=0) / jnp.maximum(jnp.sum(weights), 1.0)
    errors = jnp.sum(weights * jnp.square(found - true), axis=0)
    spread = jnp.sum(weights * jnp.square(true - mean), axis=0)
    defined = (spread > 0) & (jnp.sum(weights) > 1)
    return jnp.where(defined, 1 - errors / jnp.where(defined, spread, 1.0), 0.0)


def rank_correlation(one: jax.Array, other: jax.Array) -> jax.Array:
    """Spearman's correlation of two rows of numbers; equal ones share a rank.

    Args:
        one: [N] float32.
        other: [N] float32.

    Returns:
        [] float32 from -1 to 1; NaN where all numbers of a row are equal.
    """
    ranks = [_ranks(one), _ranks(other)]
    x, y = (rank - jnp.mean(rank) for rank in ranks)
    return jnp.sum(x * y) / jnp.sqrt(jnp.sum(x**2) * jnp.sum(y**2))


def _ranks(values: jax.Array) -> jax.Array:
    ordered = jnp.sort(values)
    below = jnp.searchsorted(ordered, values, side="left")
    up_to = jnp.searchsorted(ordered, values, side="right")
    return (below + up_to + 1) / 2
