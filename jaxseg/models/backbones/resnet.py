"""ResNet (He et al. 2016) in torchvision's form, with dilation in place of strides.

Windows are padded symmetrically, as in PyTorch, and the stride of a bottleneck is in
its 3x3 convolution. Submodules carry torchvision's names (`layer1_0` for `layer1.0`).
"""

from typing import Any

import flax.linen as nn
import jax

from jaxseg.models.layers import ConvNorm, symmetric_padding

# Blocks of each of the four stages, and whether they are bottlenecks.
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}


class ResNet(nn.Module):
    """Four stages of residual blocks, at strides 4, 8, 16 and 32.

    Attributes:
        depth: 18, 34, 50 or 101 layers.
        output_stride: 8, 16 or 32; later stages keep its size and are dilated.
        deep_stem: three 3x3 convolutions (64, 64, 128) for the 7x7 one.
        pool_ceil_mode: whether the pooling makes n + 1 pixels of 2n, by a last window
            that ends outside, as in PiCo's code. n pixels suit accelerators better.
        width: channels of the first stage, 64 as published.
        dtype: of the computation.
    """

    depth: int = 50
    output_stride: int = 16
    deep_stem: bool = False
    pool_ceil_mode: bool = False
    width: int = 64
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to the outputs of layer1 to layer4."""
        if self.depth not in DEPTHS:
            raise ValueError(f"depth {self.depth} is not one of {sorted(DEPTHS)}")
        if self.output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride {self.output_stride} is not 8, 16 or 32")
        blocks, is_bottleneck = DEPTHS[self.depth]
        block = Bottleneck if is_bottleneck else BasicBlock

        x = self._stem(x, train)
        stages = []
        stride, dilation = 4, 1
        for stage, num_blocks in enumerate(blocks):
            wanted = 1 if stage == 0 else 2
            strides = wanted if stride * wanted <= self.output_stride else 1
            stride *= strides
            # The convolution that gives up its stride keeps its taps; after it, what
            # was n pixels away is 2n away.
            before, dilation = dilation, dilation * wanted // strides
            for index in range(num_blocks):
                x = block(
                    self.width * 2**stage,
                    strides=strides if index == 0 else 1,
                    dilations=(before if index == 0 else dilation, dilation),
                    dtype=self.dtype,
                    name=f"layer{stage + 1}_{index}",
                )(x, train=train)
            stages.append(x)
        return tuple(stages)

    def _stem(self, x: jax.Array, train: bool) -> jax.Array:
        if self.deep_stem:
            layers = [(self.width, 3, 2), (self.width, 3, 1), (2 * self.width, 3, 1)]
        else:
            layers = [(self.width, 7, 2)]
        for index, (features, kernel_size, strides) in enumerate(layers):
            x = ConvNorm(
                features,
                kernel_size,
                strides=strides,
                padding=symmetric_padding(kernel_size),
                dtype=self.dtype,
                name=f"stem_{index}",
            )(x, train=train)
        after = 2 if self.pool_ceil_mode else 1  # changes nothing for odd sizes
        return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, after), (1, after)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the input, for the shallow networks.

    Attributes:
        features: channels of the result.
        strides: of the first convolution.
        dilations: of the first and of the second convolution.
        dtype: of the computation.
    """

    features: int
    strides: int = 1
    dilations: tuple[int, int] = (1, 1)
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps [B, h, w, D] to [B, h / strides, w / strides, features]."""
        first, second = self.dilations
        y = ConvNorm(
            self.features,
            3,
            strides=self.strides,
            dilation=first,
            padding=symmetric_padding(3, first),
            dtype=self.dtype,
            name="conv1",
        )(x, train=train)
        y = ConvNorm(
            self.features,
            3,
            dilation=second,
            padding=symmetric_padding(3, second),
            activation=None,
            dtype=self.dtype,
            name="conv2",
        )(y, train=train)
        return nn.relu(y + _shortcut(x, y, self.strides, self.dtype, train))


class Bottleneck(nn.Module):
    """1x1 to fewer channels, 3x3, 1x1 to four times as many, and the input.

    Attributes:
        features: channels of the middle; the result has four times as many.
        strides: of the 3x3 convolution.
        dilations: of the 3x3 convolution, and of a second one that is not there.
        dtype: of the computation.
    """

    features: int
    strides: int = 1
    dilations: tuple[int, int] = (1, 1)
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps [B, h, w, D] to [B, h / strides, w / strides, 4 features]."""
        dilation, _ = self.dilations
        y = ConvNorm(self.features, dtype=self.dtype, name="conv1")(x, train=train)
        y = ConvNorm(
            self.features,
            3,
            strides=self.strides,
            dilation=dilation,
            padding=symmetric_padding(3, dilation),
            dtype=self.dtype,
            name="conv2",
        )(y, train=train)
        y = ConvNorm(
            4 * self.features, activation=None, dtype=self.dtype, name="conv3"
        )(y, train=train)
        return nn.relu(y + _shortcut(x, y, self.strides, self.dtype, train))


def _shortcut(
    x: jax.Array, y: jax.Array, strides: int, dtype: Any, train: bool
) -> jax.Array:
    """The input, projected where the block changes its shape; part of the caller."""
    if x.shape == y.shape:
        return x
    return ConvNorm(
        y.shape[-1], strides=strides, activation=None, dtype=dtype, name="downsample"
    )(x, train=train)
