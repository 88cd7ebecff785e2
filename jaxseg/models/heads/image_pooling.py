"""DeepLab's head for light backbones: each pixel beside the picture's mean."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.layers import ConvNorm


class ImagePooling(nn.Module):
    """DeepLabV3 without its dilated branches, of the published MobileNetV2 networks.

        y = project [pool(mean of x), point(x)]

    each a 1x1 convolution with normalisation and ReLU (Sandler et al. 2018, section
    6.3). The order of the two in the concatenation is the published one.

    Attributes:
        features: D, channels of both branches and of the result.
        dropout: share of the channels that training blanks, each over a whole picture;
            needs a key in the rng collection `dropout`.
        dtype: of the computation.
    """

    features: int = 256
    dropout: float = 0.0
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages [B, h, w, D'] to features [B, h, w, D] of the last one's size."""
        x = stages[-1]
        mean = jnp.mean(x, axis=(1, 2), keepdims=True, dtype=jnp.float32)
        pooled, point, project = (
            ConvNorm(self.features, dtype=self.dtype, name=name)
            for name in ("pool", "point", "project")
        )
        local = point(x, train=train)
        whole = jnp.broadcast_to(pooled(mean, train=train), local.shape)
        x = project(jnp.concatenate([whole, local], axis=-1), train=train)
        return nn.Dropout(self.dropout, broadcast_dims=(1, 2))(
            x, deterministic=not train
        )
