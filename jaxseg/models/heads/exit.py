"""Exits of a network: what it would say about the image, were a stage its last.

As in the released code of Self-Regulation (Zhang et al. 2021, section 3): pixel logits,
and the image's classes by a linear map of their mean.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.layers import Conv, ConvNorm


class Exit(nn.Module):
    """3x3 convolutions of one stage, and a classifier of pixels and of images.

    Attributes:
        num_classes: C.
        features: channels of the convolutions.
        num_convs: how many convolutions, each with normalisation and ReLU.
        dtype: of the computation; logits are float32.
    """

    num_classes: int
    features: int = 256
    num_convs: int = 2
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """Maps a stage [B, h, w, D] to pixel logits [B, h, w, C] and image logits.

        Returns:
            Both float32, the second [B, C] before the sigmoid.
        """
        for index in range(self.num_convs):
            x = ConvNorm(
                self.features,
                3,
                use_bias=True,
                dtype=self.dtype,
                name=f"conv{index + 1}",
            )(x, train=train)
        logits = Conv(
            self.num_classes, use_bias=True, dtype=self.dtype, name="classifier"
        )(x).astype(jnp.float32)
        return logits, ImageLogits(name="image")(logits)


class ImageLogits(nn.Module):
    """Which classes an image shows, as a linear map of its mean pixel logits."""

    @nn.compact
    def __call__(self, logits: jax.Array) -> jax.Array:
        """Maps logits [B, h, w, C] to [B, C], before the sigmoid."""
        *_, num_classes = logits.shape
        return nn.Dense(num_classes, name="fc")(jnp.mean(logits, axis=(1, 2)))
