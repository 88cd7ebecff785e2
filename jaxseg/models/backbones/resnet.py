"""ResNet (He et al. 2016) in torchvision's form, with dilation in place of strides.

Windows are padded symmetrically, as in PyTorch. Submodules carry torchvision's names
(`layer1_0` for `layer1.0`). Plans of the field's networks:

    DeepLabV3, PSPNet    output_stride=8
    DeepLabV2            output_stride=8, dilations=(1, 1, 2, 4), stride_in="1x1"
    SR's release         the same with output_stride=16
    ZS3Net's DeepLabV3+  output_stride=16, dilations=(1, 1, 1, 2), multi_grid=(1, 2, 4)
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.layers import ConvNorm, symmetric_padding
from jaxseg.ops.backward import barrier
from jaxseg.ops.pooling import halve_by_maximum

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
        dilations: of the 3x3 convolutions of each stage, all its blocks. None: where a
            stride is given up, the taps spread from the next convolution on, so that
            the weights see what they were trained on, as in torchvision.
        multi_grid: multiplies the dilations of the last stage's blocks, one by one
            (Chen et al. 2017); None: leaves them.
        stride_in: which convolution of a bottleneck has the stride, "3x3" as in
            torchvision or "1x1", the first, as in the paper and in Caffe's weights.
        deep_stem: three 3x3 convolutions for the 7x7 one.
        stem_width: channels of the first two of them, the third has twice as many;
            None: `width`. 32 as published for ResNet-C and -D (He et al. 2019).
        average_shortcut: whether a shortcut averages 2x2 pixels where its 1x1
            convolution would take every second one, as in ResNet-D.
        pool_ceil_mode: whether the pooling makes n + 1 pixels of 2n, by a last window
            that ends outside, as in PiCo's code. n pixels suit accelerators better.
        with_stem: whether the stem's map before the pooling comes first among the
            stages.
        width: channels of the first stage, 64 as published.
        epsilon: of the normalisations.
        remat: whether the backward pass computes the blocks again, to save memory.
        dtype: of the computation.
    """

    depth: int = 50
    output_stride: int = 16
    dilations: tuple[int, int, int, int] | None = None
    multi_grid: tuple[int, ...] | None = None
    stride_in: str = "3x3"
    deep_stem: bool = False
    stem_width: int | None = None
    average_shortcut: bool = False
    pool_ceil_mode: bool = False
    with_stem: bool = False
    width: int = 64
    epsilon: float = 1e-5
    remat: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to the outputs of layer1 to layer4, after the stem's."""
        make_block = self._block_class()
        x = self._stem(x, train)
        stages = [x] if self.with_stem else []
        x = halve_by_maximum(x, ceil_mode=self.pool_ceil_mode)
        for stage, blocks in enumerate(self._plan()):
            for index, (strides, dilations) in enumerate(blocks):
                x = make_block(
                    self.width * 2**stage,
                    strides=strides,
                    dilations=dilations,
                    average_shortcut=self.average_shortcut,
                    epsilon=self.epsilon,
                    dtype=self.dtype,
                    name=f"layer{stage + 1}_{index}",
                )(x, train)
            stages.append(x)
        return tuple(stages)

    def _block_class(self) -> Any:
        if self.depth not in DEPTHS:
            raise ValueError(f"depth {self.depth} is not one of {sorted(DEPTHS)}")
        if self.stride_in not in ("3x3", "1x1"):
            raise ValueError(f'stride_in {self.stride_in!r} is not "3x3" or "1x1"')
        _, is_bottleneck = DEPTHS[self.depth]
        if not is_bottleneck and self.stride_in == "1x1":
            raise ValueError(
                f"depth {self.depth} has no bottlenecks, whose 1x1 convolution could "
                'have the stride: set stride_in="3x3"'
            )
        block: Any = Bottleneck if is_bottleneck else BasicBlock
        if self.remat:
            block = nn.remat(block, static_argnums=(2,))
        if is_bottleneck:
            block = functools.partial(block, stride_in=self.stride_in)
        return block

    def _plan(self) -> list[list[tuple[int, tuple[int, int]]]]:
        """Strides and dilations of each stage's blocks."""
        if self.output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride {self.output_stride} is not 8, 16 or 32")
        depths, _ = DEPTHS[self.depth]
        grids = [(1,) * depth for depth in depths]
        if self.multi_grid is not None:
            if len(self.multi_grid) != depths[-1]:
                raise ValueError(
                    f"multi_grid {self.multi_grid} is not for the {depths[-1]} blocks "
                    f"of the last stage of ResNet-{self.depth}"
                )
            grids[-1] = self.multi_grid
        plan = []
        stride, dilation = 4, 1
        for stage, grid in enumerate(grids):
            wanted = 1 if stage == 0 else 2
            strides = wanted if stride * wanted <= self.output_stride else 1
            stride *= strides
            # The convolution that gives up its stride keeps its taps; after it, what
            # was n pixels away is 2n away.
            before, dilation = dilation, dilation * wanted // strides
            if self.dilations is not None:
                before = dilation = self.dilations[stage]
            first, *others = grid
            blocks = [(strides, (before * first, dilation * first))]
            blocks += [(1, (dilation * rate, dilation * rate)) for rate in others]
            plan.append(blocks)
        return plan

    def _stem(self, x: jax.Array, train: bool) -> jax.Array:
        if self.deep_stem:
            width = self.width if self.stem_width is None else self.stem_width
            layers = [(width, 3, 2), (width, 3, 1), (2 * width, 3, 1)]
        else:
            layers = [(self.width, 7, 2)]
        for index, (features, kernel_size, strides) in enumerate(layers):
            x = ConvNorm(
                features,
                kernel_size,
                strides=strides,
                padding=symmetric_padding(kernel_size),
                epsilon=self.epsilon,
                dtype=self.dtype,
                name=f"stem_{index}",
            )(x, train=train)
        return x


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the input, for the shallow networks.

    Attributes:
        features: channels of the result.
        strides: of the first convolution.
        dilations: of the first and of the second convolution.
        average_shortcut: whether the shortcut averages the pixels that it leaves out.
        zero_shortcut: whether the shortcut fills new channels with zeros instead of
            projecting (option A of the paper).
        epsilon: of the normalisations.
        dtype: of the computation.
    """

    features: int
    strides: int = 1
    dilations: tuple[int, int] = (1, 1)
    average_shortcut: bool = False
    zero_shortcut: bool = False
    epsilon: float = 1e-5
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps [B, h, w, D] to [B, h / strides, w / strides, features]."""
        x = barrier(x)
        first, second = self.dilations
        layer = functools.partial(ConvNorm, epsilon=self.epsilon, dtype=self.dtype)
        y = layer(
            self.features,
            3,
            strides=self.strides,
            dilation=first,
            padding=symmetric_padding(3, first),
            name="conv1",
        )(x, train=train)
        y = layer(
            self.features,
            3,
            dilation=second,
            padding=symmetric_padding(3, second),
            activation=None,
            name="conv2",
        )(y, train=train)
        if self.zero_shortcut:
            return nn.relu(y + _widened(x, self.features, self.strides))
        return nn.relu(y + _shortcut(self, x, y, train))


class Bottleneck(nn.Module):
    """1x1 to fewer channels, 3x3, 1x1 to four times as many, and the input.

    Attributes:
        features: channels of the middle; the result has four times as many.
        strides: of the 3x3 convolution, or of the first.
        dilations: of the 3x3 convolution, and of a second one that is not there.
        stride_in: which convolution has the stride, "3x3" or "1x1".
        average_shortcut: whether the shortcut averages the pixels that it leaves out.
        epsilon: of the normalisations.
        dtype: of the computation.
    """

    features: int
    strides: int = 1
    dilations: tuple[int, int] = (1, 1)
    stride_in: str = "3x3"
    average_shortcut: bool = False
    epsilon: float = 1e-5
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps [B, h, w, D] to [B, h / strides, w / strides, 4 features]."""
        x = barrier(x)
        dilation, _ = self.dilations
        layer = functools.partial(ConvNorm, epsilon=self.epsilon, dtype=self.dtype)
        y = layer(
            self.features,
            strides=self.strides if self.stride_in == "1x1" else 1,
            name="conv1",
        )(x, train=train)
        y = layer(
            self.features,
            3,
            strides=self.strides if self.stride_in == "3x3" else 1,
            dilation=dilation,
            padding=symmetric_padding(3, dilation),
            name="conv2",
        )(y, train=train)
        y = layer(4 * self.features, activation=None, name="conv3")(y, train=train)
        return nn.relu(y + _shortcut(self, x, y, train))


def _shortcut(
    block: BasicBlock | Bottleneck, x: jax.Array, y: jax.Array, train: bool
) -> jax.Array:
    """The input, projected where the block changes its shape; part of the caller."""
    if x.shape == y.shape:
        return x
    strides = block.strides
    if block.average_shortcut and strides > 1:
        _, h, w, _ = x.shape
        # Of odd sizes the last cell is smaller, and averages what it has.
        margins = ((0, -h % strides), (0, -w % strides))
        cell = (strides, strides)
        x = nn.avg_pool(x, cell, cell, padding=margins, count_include_pad=False)
        strides = 1
    return ConvNorm(
        y.shape[-1],
        strides=strides,
        activation=None,
        epsilon=block.epsilon,
        dtype=block.dtype,
        name="downsample",
    )(x, train=train)


def _widened(x: jax.Array, features: int, strides: int) -> jax.Array:
    """Every `strides`-th pixel, with zeros for the new channels on either side."""
    x = x[:, ::strides, ::strides]
    new = features - x.shape[-1]
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (new // 2, new - new // 2)))
