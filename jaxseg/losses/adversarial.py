"""Two players' losses: tell real features from generated ones, or pass for real.

`discriminator_loss` and `generator_loss` take a discriminator's probabilities of
"real", after its sigmoid, as CaGNet has them; `gradient_penalty` keeps it smooth.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxseg.losses.masked import masked_mean

KINDS = ("l1", "lsgan", "bce", "wgan", "wgan_gp")
WASSERSTEIN = ("wgan", "wgan_gp")
LOWEST_LOG = -100.0  # torch's bound of a logarithm in its cross entropy


def discriminator_loss(
    real: jax.Array, generated: jax.Array, mask: jax.Array, *, kind: str = "l1"
) -> tuple[jax.Array, jax.Array]:
    """What real and generated features cost the discriminator; it minimises the sum.

    l1: |D - t|, which CaGNet's release calls lsgan; lsgan: (D - t)^2 (Mao et al. 2017);
    bce: the cross entropy (Goodfellow et al. 2014), with t = 1 for real and 0 for
    generated; wgan: -D and D (Arjovsky et al. 2017); wgan_gp: the same, and whoever
    calls it adds `gradient_penalty`.

    Args:
        real: [...] probabilities.
        generated: [...].
        mask: [...] which positions count, of either.
        kind: one of `KINDS`.

    Returns:
        Two [] float32, means over the mask; 0 where it is empty.
    """
    if kind in WASSERSTEIN:
        return -masked_mean(real, mask), masked_mean(generated, mask)
    distance = _distance(kind)
    return (
        masked_mean(distance(real, 1.0), mask),
        masked_mean(distance(generated, 0.0), mask),
    )


def generator_loss(
    generated: jax.Array, mask: jax.Array, *, kind: str = "l1"
) -> jax.Array:
    """What it costs the generator that its features do not pass for real, [] float32.

    Args:
        generated: [...] probabilities.
        mask: [...] which positions count.
        kind: one of `KINDS`; see `discriminator_loss`.
    """
    if kind in WASSERSTEIN:
        return -masked_mean(generated, mask)
    return masked_mean(_distance(kind)(generated, 1.0), mask)


def gradient_penalty(
    score: Callable[[jax.Array], jax.Array], between: jax.Array, mask: jax.Array
) -> jax.Array:
    """How far the discriminator's slope is from 1, as Gulrajani et al. (2017).

    The mean over the mask of (|dD(x)/dx|_2 - 1)^2, of the slope by each position's own
    feature, for a discriminator that looks at no other.

    Args:
        score: from features [..., D] to [...], each of its own feature.
        between: [..., D] points on lines from real to generated features.
        mask: [...] which positions count.

    Returns:
        [] float32; 0 with zero gradient where the mask is empty.
    """
    slope = jax.grad(lambda x: jnp.sum(score(x)))(between)
    square = jnp.sum(jnp.square(slope.astype(jnp.float32)), axis=-1)
    positive = square > 0  # a root has no derivative at 0
    length = jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)
    return masked_mean(jnp.square(length - 1.0), mask)


def _distance(kind: str) -> Callable[[jax.Array, float], jax.Array]:
    if kind not in KINDS:
        raise ValueError(f"the adversarial loss is one of {KINDS}, got {kind!r}")
    distances: dict[str, Callable[[jax.Array, float], jax.Array]] = {
        "l1": lambda p, t: jnp.abs(p - t),
        "lsgan": lambda p, t: jnp.square(p - t),
        "bce": _cross_entropy,
    }
    return distances[kind]


def _cross_entropy(probability: jax.Array, target: float) -> jax.Array:
    right = probability if target == 1.0 else 1.0 - probability
    positive = right > 0
    logarithm = jnp.log(jnp.where(positive, right, 1.0))
    return -jnp.maximum(jnp.where(positive, logarithm, LOWEST_LOG), LOWEST_LOG)
