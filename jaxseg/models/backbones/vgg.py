"""VGG-16 with batch normalisation (Simonyan and Zisserman 2015), for SegNet."""

from typing import Any

import flax.linen as nn
import jax

from jaxseg.models.layers import ConvNorm, symmetric_padding


class VGG(nn.Module):
    """Stages of 3x3 convolutions, at strides 1, 2, 4, 8 and 16.

    A stage is the map before its pooling, so that a decoder knows where the maxima
    were. Pooling leaves out an odd last row or column, as in PyTorch.

    Attributes:
        widths: channels of each stage.
        num_convs: convolutions of each stage.
        use_bias: whether the convolutions have a bias, as in torchvision.
        remat: whether the backward pass computes the stages again.
        dtype: of the computation.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    num_convs: tuple[int, ...] = (2, 2, 3, 3, 3)
    use_bias: bool = True
    remat: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to the stages, shallow to deep."""
        block = nn.remat(ConvBlock, static_argnums=(2,)) if self.remat else ConvBlock
        stages: list[jax.Array] = []
        plan = zip(self.widths, self.num_convs, strict=True)
        for index, (width, num_convs) in enumerate(plan, start=1):
            if stages:
                x = nn.max_pool(x, (2, 2), strides=(2, 2))
            x = block(
                (width,) * num_convs,
                use_bias=self.use_bias,
                dtype=self.dtype,
                name=f"stage{index}",
            )(x, train)
            stages.append(x)
        return tuple(stages)


class ConvBlock(nn.Module):
    """3x3 convolutions in a row, each with normalisation and ReLU.

    Attributes:
        features: channels of each convolution.
        use_bias: whether they have a bias.
        dtype: of the computation.
    """

    features: tuple[int, ...]
    use_bias: bool = True
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps [B, h, w, D] to [B, h, w, last of features]."""
        for index, features in enumerate(self.features, start=1):
            x = ConvNorm(
                features,
                3,
                padding=symmetric_padding(3),
                use_bias=self.use_bias,
                dtype=self.dtype,
                name=f"conv{index}",
            )(x, train=train)
        return x
