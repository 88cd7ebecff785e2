"""How far a Gaussian of each pixel is from the standard one."""

import jax
import jax.numpy as jnp

from jaxseg.losses.masked import masked_mean


def standard_normal_divergence(
    mean: jax.Array, log_variance: jax.Array, mask: jax.Array
) -> jax.Array:
    """KL(N(mean, variance) | N(0, 1)), averaged over pixels and channels.

    -1/2 mean (1 + log s^2 - m^2 - s^2), the variational auto-encoder's term (Kingma and
    Welling 2014).

    Args:
        mean: [..., D].
        log_variance: [..., D].
        mask: [...] bool, the pixels that count.

    Returns:
        [] float32; 0 with zero gradient if none counts.
    """
    # A pixel that does not count must not overflow either: 0 inf has no derivative.
    log_variance = jnp.where(mask[..., None], log_variance, 0.0)
    terms = 1.0 + log_variance - jnp.square(mean) - jnp.exp(log_variance)
    return -0.5 * masked_mean(terms, mask)
