"""An image classifier: what the backbones are published as."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class ImageClassifier(nn.Module):
    """Backbone -> mean over the pixels of the last stage -> linear classifier.

    Parameters and batch statistics have the entries `backbone`, `hidden` if there is
    one, and `image_classifier`: another name than a segmentor's `classifier`, so that a
    file of this network is not taken for one of the other.

    Attributes:
        backbone: maps normalised images to a tuple of stages.
        num_classes: C.
        hidden: a layer between the last stage and the mean, `(x, train=...)`, as the
            1x1 convolution to 1280 channels of MobileNetV2; None: nothing.
        mean: of the pixels' red, green and blue, in units of 0..255.
        std: their standard deviations, in the same units.
        dtype: of the computation; parameters, statistics and logits are float32.
    """

    backbone: nn.Module
    num_classes: int = 1000
    hidden: nn.Module | None = None
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        """Maps raw images [B, H, W, 3], 0..255, to float32 logits [B, C]."""
        mean = jnp.asarray(self.mean, jnp.float32)
        std = jnp.asarray(self.std, jnp.float32)
        normalised = (image.astype(jnp.float32) - mean) / std
        x = self.backbone(normalised.astype(self.dtype), train=train)[-1]
        if self.hidden is not None:
            x = self.hidden(x, train=train)
        features = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        return nn.Dense(self.num_classes, name="image_classifier")(features)
