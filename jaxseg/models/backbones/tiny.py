"""A backbone of five convolutions, for small pictures, notebooks and tests."""

from typing import Any

import flax.linen as nn
import jax

from jaxseg.models.layers import ConvNorm


class Tiny(nn.Module):
    """Five 3x3 convolutions; stages at strides 2, 4 and 8.

    Attributes:
        width: channels of the first stage; the others have two and four times as many.
        dtype: of the computation.
    """

    width: int = 16
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to three stages, H and W divided by 2, 4 and 8."""
        fine = ConvNorm(self.width, 3, strides=2, dtype=self.dtype)(x, train=train)
        middle = ConvNorm(2 * self.width, 3, strides=2, dtype=self.dtype)(
            fine, train=train
        )
        middle = ConvNorm(2 * self.width, 3, dtype=self.dtype)(middle, train=train)
        coarse = ConvNorm(4 * self.width, 3, strides=2, dtype=self.dtype)(
            middle, train=train
        )
        # Two pixels apart, the taps see more of the scene at the same cost.
        coarse = ConvNorm(4 * self.width, 3, dilation=2, dtype=self.dtype)(
            coarse, train=train
        )
        return fine, middle, coarse
