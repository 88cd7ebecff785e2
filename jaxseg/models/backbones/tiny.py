"""A small backbone, for small pictures, notebooks and tests."""

from typing import Any

import flax.linen as nn
import jax

from jaxseg.models.layers import ConvNorm


class Tiny(nn.Module):
    """3x3 convolutions; each stage halves the size, then adds residual ones.

    Attributes:
        widths: channels of the stages, at strides 2, 4, 8, ...
        depths: residual convolutions of the stages.
        dtype: of the computation.
    """

    widths: tuple[int, ...] = (16, 32, 64, 96)
    depths: tuple[int, ...] = (1, 1, 2, 2)
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to stages, shallow to deep."""
        stages = []
        for width, depth in zip(self.widths, self.depths, strict=True):
            x = ConvNorm(width, 3, strides=2, dtype=self.dtype)(x, train=train)
            for _ in range(depth):
                x = x + ConvNorm(width, 3, dtype=self.dtype)(x, train=train)
            stages.append(x)
        return tuple(stages)
