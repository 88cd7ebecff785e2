"""UPerNet (Xiao et al. 2018): a feature pyramid whose top is PSPNet's."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.heads.psp import RegionPyramid
from jaxseg.models.layers import ConvNorm
from jaxseg.ops.resize import resize_bilinear


class UPerNet(nn.Module):
    """From the deepest stage back to the finest; all levels are then joined there.

    The deepest level is the pyramid of regions; each finer one is the 1x1 convolution
    of its stage plus the enlarged next level, then a 3x3 convolution.

    Attributes:
        features: D, channels of every level and of the result.
        bins: regions down and across in each level of the pyramid.
        dropout: share of the channels that training blanks, each over a whole picture;
            needs a key in the rng collection `dropout`.
        dtype: of the computation.
    """

    features: int = 512
    bins: tuple[int, ...] = (1, 2, 3, 6)
    dropout: float = 0.0
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages [B, h, w, D'] to features [B, h, w, D] of the first's size."""
        *finer, deepest = stages
        x = RegionPyramid(
            self.features, bins=self.bins, dtype=self.dtype, name="pyramid"
        )(deepest, train=train)
        x = self._layer(3, "project", x, train)
        levels = [x]
        for index, stage in reversed(list(enumerate(finer))):
            lateral = self._layer(1, f"lateral_{index}", stage, train)
            x = lateral + _resized(x, lateral)
            levels.insert(0, self._layer(3, f"level_{index}", x, train))
        finest, *others = levels
        joined = [finest, *(_resized(level, finest) for level in others)]
        x = self._layer(3, "join", jnp.concatenate(joined, axis=-1), train)
        return nn.Dropout(self.dropout, broadcast_dims=(1, 2))(
            x, deterministic=not train
        )

    def _layer(
        self, kernel_size: int, name: str, x: jax.Array, train: bool
    ) -> jax.Array:
        return ConvNorm(self.features, kernel_size, dtype=self.dtype, name=name)(
            x, train=train
        )


def _resized(x: jax.Array, like: jax.Array) -> jax.Array:
    _, h, w, _ = like.shape
    return resize_bilinear(x, (h, w), align_corners=False)
