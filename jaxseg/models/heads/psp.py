"""PSPNet (Zhao et al. 2017): each pixel sees the means of the regions it lies in."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.layers import ConvNorm
from jaxseg.ops.pooling import adaptive_average_pool
from jaxseg.ops.resize import resize_bilinear


class PSP(nn.Module):
    """The pyramid of regions on the last stage, then a 3x3 convolution.

    Attributes:
        features: D, channels of the result.
        pool_features: channels of each level of the pyramid; None: as many as make all
            levels together as wide as the stage.
        bins: regions down and across, a number for each level.
        dropout: share of the channels that training blanks, each over a whole picture;
            needs a key in the rng collection `dropout`.
        align_corners: whether levels are enlarged with corner pixels in the corners, as
            in the author's code.
        dtype: of the computation.
    """

    features: int = 512
    pool_features: int | None = None
    bins: tuple[int, ...] = (1, 2, 3, 6)
    dropout: float = 0.0
    align_corners: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages [B, h, w, D'] to features [B, h, w, D]."""
        x = RegionPyramid(
            self.pool_features,
            bins=self.bins,
            align_corners=self.align_corners,
            dtype=self.dtype,
            name="pyramid",
        )(stages[-1], train=train)
        x = ConvNorm(self.features, 3, dtype=self.dtype, name="project")(x, train=train)
        return nn.Dropout(self.dropout, broadcast_dims=(1, 2))(
            x, deterministic=not train
        )


class RegionPyramid(nn.Module):
    """A map beside its regions' means, each through a 1x1 convolution.

    Attributes:
        features: channels of each level; None: as many as make all levels together as
            wide as the map.
        bins: regions down and across, a number for each level.
        align_corners: whether levels are enlarged with corner pixels in the corners.
        dtype: of the computation.
    """

    features: int | None = None
    bins: tuple[int, ...] = (1, 2, 3, 6)
    align_corners: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps [B, h, w, D] to [B, h, w, D + levels times features]."""
        _, h, w, channels = x.shape
        features = self.features or channels // len(self.bins)
        levels = [x]
        for index, size in enumerate(self.bins):
            means = adaptive_average_pool(x, (size, size))
            level = ConvNorm(features, dtype=self.dtype, name=f"level_{index}")(
                means, train=train
            )
            levels.append(
                resize_bilinear(level, (h, w), align_corners=self.align_corners)
            )
        return jnp.concatenate(levels, axis=-1)
