"""DeepLabV2 (Chen et al. 2016): the sum of four dilated convolutions, and no more.

In the paper the sum is the logits: `head=dict(name="heads.identity.Identity")` and
`decoder=dict(name="heads.deeplabv2.DeepLabV2Classifier")`. SPNet and CaGNet make it
word vectors instead, which the head `DeepLabV2` gives.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.layers import Conv

# The authors' initialisation.
KERNEL_INIT = nn.initializers.normal(0.01)


class DeepLabV2(nn.Module):
    """The sum of dilated 3x3 convolutions of the last stage, as features.

    Attributes:
        features: D, channels of the result; 600 are two word vectors (Xian et al.
            2019).
        rates: dilation of each convolution.
        dtype: of the computation.
    """

    features: int = 600
    rates: tuple[int, ...] = (6, 12, 18, 24)
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages [B, h, w, D'] to features [B, h, w, D]."""
        return _sum_of_windows(stages[-1], self.features, self.rates, self.dtype)


class DeepLabV2Classifier(nn.Module):
    """A decoder: the sum of dilated 3x3 convolutions of the features is the logits.

    Attributes:
        rates: dilation of each convolution.
        dtype: of the computation.
    """

    rates: tuple[int, ...] = (6, 12, 18, 24)
    dtype: Any = "float32"

    @nn.compact
    def __call__(
        self,
        features: jax.Array,
        stages: tuple[jax.Array, ...],
        num_classes: int,
        *,
        train: bool,
    ) -> tuple[jax.Array, None]:
        """Maps features [B, h, w, D] to logits [B, h, w, C], without queries."""
        return _sum_of_windows(features, num_classes, self.rates, self.dtype), None


def _sum_of_windows(
    x: jax.Array, features: int, rates: tuple[int, ...], dtype: Any
) -> jax.Array:
    """Sums 3x3 convolutions with biases, one a rate; part of the caller."""
    windows = [
        Conv(
            features,
            3,
            dilation=rate,
            use_bias=True,
            dtype=dtype,
            kernel_init=KERNEL_INIT,
            name=f"rate_{index}",
        )(x)
        for index, rate in enumerate(rates)
    ]
    return functools.reduce(jnp.add, windows)
