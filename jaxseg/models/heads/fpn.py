"""A head for thin and small things: from the deepest stage back to the finest."""

from typing import Any

import flax.linen as nn
import jax

from jaxseg.models.layers import Conv, ConvNorm
from jaxseg.ops.resize import resize_bilinear


class FPN(nn.Module):
    """The top-down path of feature pyramids (Lin et al. 2017), finest level only.

    From deep to shallow: enlarge, add the 1x1 projection of the next stage, 3x3
    convolution with normalisation and ReLU.

    Attributes:
        features: D, channels of every level and of the result.
        dtype: of the computation.
    """

    features: int = 32
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages [B, h, w, D'] to features [B, h, w, D] of the first's size."""
        x = ConvNorm(self.features, dtype=self.dtype)(stages[-1], train=train)
        for stage in reversed(stages[:-1]):
            _, height, width, _ = stage.shape
            x = resize_bilinear(x, (height, width), align_corners=False)
            x = x + Conv(self.features, dtype=self.dtype)(stage)
            x = ConvNorm(self.features, 3, dtype=self.dtype)(x, train=train)
        return x
