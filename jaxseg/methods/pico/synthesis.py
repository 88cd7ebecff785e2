"""Synthetic negatives: mixes of two negatives, and of a negative with the anchor.

The journal version of PiCo mixes but gives no coefficients; these are those of MoCHi
(Kalantidis et al., "Hard Negative Mixing for Contrastive Learning", NeurIPS 2020):

    h  = u / |u|,  u = alpha n_a + (1 - alpha) n_b,   alpha ~ U(0, 1),    a != b
    h' = u / |u|,  u = beta x_i + (1 - beta) n_j,     beta  ~ U(0, 1/2)

No mix is ever built: its score with the anchor follows from scores that are there
already, from n_a . n_b and from the vectors' squared lengths, which are near 1 but not
equal to it, in bfloat16 by up to 0.4 %. Mixes are constants for the gradient, which
thus passes through the scores but not through coefficients and norms.
"""

import jax
import jax.numpy as jnp
from flax import struct

# Opposite vectors in equal parts cancel, up to rounding errors. Of a mix's squared
# length at least this share of its parts' is counted, so that these do not become a
# score.
LEAST_SHARE = 1e-6
TINY = 1e-12  # of vectors that are zero


class Draws(struct.PyTreeNode):
    """Which pairs of a set's members are mixed, and how.

    Attributes:
        first: [..., s] int32 ranks in the set.
        second: [..., s] int32 other ranks.
        alpha: [..., s] float32 in [0, 1), the share of the first.
    """

    first: jax.Array
    second: jax.Array
    alpha: jax.Array


def pair_scores(
    first: jax.Array,
    second: jax.Array,
    products: jax.Array,
    alpha: jax.Array,
    *,
    squares: tuple[jax.Array | float, jax.Array | float] = (1.0, 1.0),
) -> jax.Array:
    """Scores of an anchor with mixes of two negatives.

    Args:
        first: [..., s] the anchor's scores with the first negatives.
        second: [..., s] those with the second ones.
        products: [..., s] of the two negatives of each pair; a constant.
        alpha: [..., s] share of the first.
        squares: [..., s] each, the squared lengths of the first and the second.

    Returns:
        [..., s] scores.
    """
    norms = _norms(*squares, products, alpha)
    return (alpha * first + (1 - alpha) * second) / norms


def anchor_scores(
    itself: jax.Array,
    scores: jax.Array,
    beta: jax.Array,
    *,
    temperature: float,
    squares: jax.Array | float = 1.0,
) -> jax.Array:
    """Scores of an anchor with mixes of itself and a negative.

    Args:
        itself: [..., 1] the anchor's score with itself as a constant, x . stop(x) /
            temperature; its gradient is that of x, although its value never changes.
        scores: [..., s] the anchor's scores with the negatives.
        beta: [..., s] share of the anchor.
        temperature: by which the products were divided.
        squares: [..., s] squared lengths of the negatives.

    Returns:
        [..., s] scores.
    """
    norms = _norms(itself * temperature, squares, scores * temperature, beta)
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


def draw_partners(
    rng: jax.Array, count: jax.Array, num_partners: int
) -> tuple[jax.Array, jax.Array]:
    """Draws members of sets of `count` [...] members that the anchor is mixed with.

    Returns:
        [..., s] int32 ranks in the set, and [..., s] float32 in [0, 1/2), the share of
        the anchor: a mix is always nearer to the negative.
    """
    member_rng, beta_rng = jax.random.split(rng)
    ranks = draw_members(member_rng, count, num_partners)
    return ranks, jax.random.uniform(beta_rng, ranks.shape, maxval=0.5)


def draw_members(rng: jax.Array, count: jax.Array, num_members: int) -> jax.Array:
    """Draws ranks [..., s] below `count` [...], uniformly and with replacement."""
    uniform = jax.random.uniform(rng, (*count.shape, num_members))
    ranks = jnp.floor(uniform * count[..., None]).astype(jnp.int32)
    return jnp.clip(ranks, 0, jnp.maximum(count - 1, 0)[..., None])


def products(
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


def _norms(
    first: jax.Array | float,
    second: jax.Array | float,
    product: jax.Array,
    share: jax.Array,
) -> jax.Array:
    """Lengths of mixes, of their parts' squared lengths and product; constants."""
    rest = 1 - share
    parts = share**2 * first + rest**2 * second
    whole = jnp.maximum(parts + 2 * share * rest * product, LEAST_SHARE * parts)
    return jax.lax.stop_gradient(jnp.sqrt(jnp.maximum(whole, TINY)))
