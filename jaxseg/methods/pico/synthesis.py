"""Synthetic negatives: mixes of two negatives, and of a negative with the anchor.

The journal version of PiCo mixes but gives no coefficients; these are those of MoCHi
(Kalantidis et al., "Hard Negative Mixing for Contrastive Learning", NeurIPS 2020):

    h  = u / |u|,  u = alpha n_a + (1 - alpha) n_b,   alpha ~ U(0, 1),    a != b
    h' = u / |u|,  u = beta x_i + (1 - beta) n_j,     beta  ~ U(0, 1/2)

No mix is ever built: for unit vectors its score with the anchor follows from scores
that are there already and, for h, from n_a . n_b. Mixes are constants for the gradient,
which thus passes through the scores but not through coefficients and norms.
"""

import jax
import jax.numpy as jnp
from flax import struct

EPSILON = 1e-12  # opposite negatives in equal parts cancel


class Draws(struct.PyTreeNode):
    """Which members of a set of n are mixed, and how.

    Attributes:
        first: [..., s] int32 ranks in the set.
        second: [..., s] int32 other ranks.
        alpha: [..., s] float32 in [0, 1), the share of the first.
    """

    first: jax.Array
    second: jax.Array
    alpha: jax.Array


def pair_scores(
    first: jax.Array, second: jax.Array, cosines: jax.Array, alpha: jax.Array
) -> jax.Array:
    """Scores of an anchor with mixes of two negatives.

    Args:
        first: [..., s] the anchor's scores with the first negatives.
        second: [..., s] those with the second ones.
        cosines: [..., s] of the two negatives of each pair; a constant.
        alpha: [..., s] share of the first.

    Returns:
        [..., s] scores.
    """
    norms = _norms(jax.lax.stop_gradient(cosines), alpha)
    return (alpha * first + (1 - alpha) * second) / norms


def anchor_scores(
    itself: jax.Array, scores: jax.Array, beta: jax.Array, *, temperature: float
) -> jax.Array:
    """Scores of an anchor with mixes of itself and a negative.

    Args:
        itself: [..., 1] the anchor's score with itself as a constant, x . stop(x) /
            temperature; its gradient is that of x, although its value never changes.
        scores: [..., s] the anchor's scores with the negatives.
        beta: [..., s] share of the anchor.
        temperature: by which the products were divided.

    Returns:
        [..., s] scores.
    """
    norms = _norms(jax.lax.stop_gradient(scores) * temperature, beta)
    return (beta * itself + (1 - beta) * scores) / norms


def draw_pairs(rng: jax.Array, count: jax.Array, num_pairs: int) -> Draws:
    """Draws pairs of different members of sets of `count` [...] members, uniformly.

    A set of fewer than two has no pair; what is returned for it means nothing.
    """
    first_rng, second_rng, alpha_rng = jax.random.split(rng, 3)
    shape = (*count.shape, num_pairs)
    first = draw_members(first_rng, count, num_pairs)
    step = 1 + draw_members(second_rng, count - 1, num_pairs)
    return Draws(
        first=first,
        second=(first + step) % jnp.maximum(count, 1)[..., None],
        alpha=jax.random.uniform(alpha_rng, shape),
    )


def draw_members(rng: jax.Array, count: jax.Array, num_members: int) -> jax.Array:
    """Draws ranks [..., s] below `count` [...], uniformly and with replacement."""
    uniform = jax.random.uniform(rng, (*count.shape, num_members))
    ranks = jnp.floor(uniform * count[..., None]).astype(jnp.int32)
    return jnp.clip(ranks, 0, jnp.maximum(count - 1, 0)[..., None])


def cosines(
    values: jax.Array, first: jax.Array, second: jax.Array, *, block: int = 8
) -> jax.Array:
    """Products of pairs of bank entries, for a few anchors at a time.

    Args:
        values: [N, D].
        first: [R, s] int32 rows of it.
        second: [R, s] int32.
        block: anchors whose vectors are looked up together.

    Returns:
        [R, s] float32.
    """

    def of_anchor(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.einsum(
            "sd,sd->s",
            values[pair[0]],
            values[pair[1]],
            preferred_element_type=jnp.float32,
        )

    return jax.lax.map(of_anchor, (first, second), batch_size=block)


def _norms(cosines: jax.Array, share: jax.Array) -> jax.Array:
    rest = 1 - share
    squares = share**2 + rest**2 + 2 * share * rest * cosines
    return jnp.sqrt(jnp.maximum(squares, EPSILON))
