"""The plainest head (Long et al. 2015): convolutions on the deepest stage."""

from typing import Any

import flax.linen as nn
import jax

from jaxseg.models.layers import ConvNorm


class FCN(nn.Module):
    """3x3 convolutions with normalisation and ReLU on the last stage.

    Attributes:
        features: D, channels of the result.
        num_convs: how many convolutions.
        dtype: of the computation.
    """

    features: int = 256
    num_convs: int = 1
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages [B, h, w, D'] to features [B, h, w, D] of the last one's size."""
        x = stages[-1]
        for _ in range(self.num_convs):
            x = ConvNorm(self.features, 3, dtype=self.dtype)(x, train=train)
        return x
