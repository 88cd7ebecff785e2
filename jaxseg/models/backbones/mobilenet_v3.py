"""MobileNetV3-Large (Howard et al. 2019) as torchvision has it.

Inverted residuals, some of which weigh their channels by what the whole picture shows.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.backbones.mobilenet_v2 import scaled, trade_strides
from jaxseg.models.layers import Conv, ConvNorm, symmetric_padding


class Shape(NamedTuple):
    """What distinguishes the blocks, the columns of the paper's Table 1."""

    kernel_size: int
    wide: int
    features: int
    squeezes: bool
    is_swish: bool
    stride: int


# Table 1, a row per stride.
STAGES = (
    (Shape(3, 16, 16, False, False, 1),),
    (Shape(3, 64, 24, False, False, 2), Shape(3, 72, 24, False, False, 1)),
    (Shape(5, 72, 40, True, False, 2), *[Shape(5, 120, 40, True, False, 1)] * 2),
    (
        Shape(3, 240, 80, False, True, 2),
        Shape(3, 200, 80, False, True, 1),
        *[Shape(3, 184, 80, False, True, 1)] * 2,
        Shape(3, 480, 112, True, True, 1),
        Shape(3, 672, 112, True, True, 1),
    ),
    (Shape(5, 672, 160, True, True, 2), *[Shape(5, 960, 160, True, True, 1)] * 2),
)
LAST_FEATURES = 960
FIRST_AT_8 = 4  # number of the block that reaches stride 8


class MobileNetV3Large(nn.Module):
    """Fifteen inverted residuals and a 1x1 convolution; stages at strides 2 to 32.

    At a smaller `output_stride` the block that gives up its stride and all later ones
    have dilation 2 (of two such blocks, the second 4), as in torchvision's
    segmentation networks.

    Attributes:
        output_stride: 8, 16 or 32, the stride of the deepest stages.
        early_stage: whether the first block at stride 8 gives a stage as well, before
            that of the last: what torchvision's auxiliary head reads.
        epsilon: of the normalisations.
        remat: whether training computes the blocks again in the backward pass, which
            saves memory and changes no number.
        dtype: of the computation.
    """

    output_stride: int = 16
    early_stage: bool = False
    epsilon: float = 1e-3
    remat: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to five stages, of 16, 24, 40, 112 and 960 channels.

        With an `early_stage` they are six, the third and fourth of 40 channels.
        """
        common = dict(epsilon=self.epsilon, dtype=self.dtype)
        x = ConvNorm(
            16,
            3,
            strides=2,
            padding=symmetric_padding(3),
            activation=nn.hard_swish,
            name="stem",
            **common,
        )(x, train=train)

        # Evaluation has no backward pass, and those who look into it see all layers.
        block = InvertedResidual
        if self.remat and train:
            block = nn.remat(InvertedResidual, static_argnums=(2,))
        strides = [shape.stride for stage in STAGES for shape in stage]
        plan = iter(trade_strides(strides, self.output_stride, at_once=True))
        stages = []
        index = 0
        for stage in STAGES:
            for shape in stage:
                if self.early_stage and index == FIRST_AT_8:
                    stages.append(x)
                stride, dilation = next(plan)
                index += 1
                x = block(
                    shape, stride, dilation=dilation, name=f"block_{index}", **common
                )(x, train)
            stages.append(x)
        last = ConvNorm(LAST_FEATURES, activation=nn.hard_swish, name="last", **common)
        stages[-1] = last(x, train=train)
        return tuple(stages)


class InvertedResidual(nn.Module):
    """Expands the channels, convolves each by itself, weighs them, projects back.

    Attributes:
        shape: a row of the table; its stride decides on the shortcut.
        strides: of the depthwise convolution, the table's or 1.
        dilation: of the depthwise convolution.
        epsilon: of the normalisations.
        dtype: of the computation.
    """

    shape: Shape
    strides: int
    dilation: int = 1
    epsilon: float = 1e-3
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps [B, h, w, D] to [B, h / strides, w / strides, features]."""
        *_, channels = x.shape
        shape = self.shape
        activation = nn.hard_swish if shape.is_swish else nn.relu
        common = dict(epsilon=self.epsilon, dtype=self.dtype)
        y = x
        if shape.wide != channels:
            y = ConvNorm(shape.wide, activation=activation, name="expand", **common)(
                y, train=train
            )
        y = ConvNorm(
            shape.wide,
            shape.kernel_size,
            strides=self.strides,
            dilation=self.dilation,
            padding=symmetric_padding(shape.kernel_size, self.dilation),
            groups=shape.wide,
            activation=activation,
            name="depthwise",
            **common,
        )(y, train=train)
        if shape.squeezes:
            y = SqueezeExcitation(dtype=self.dtype, name="squeeze")(y)
        y = ConvNorm(shape.features, activation=None, name="project", **common)(
            y, train=train
        )
        is_residual = shape.stride == 1 and channels == shape.features
        return x + y if is_residual else y


class SqueezeExcitation(nn.Module):
    """Weighs the channels by a function of the picture's mean (Hu et al. 2018).

    Attributes:
        dtype: of the computation.
    """

    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, h, w, D] to the same shape."""
        *_, channels = x.shape
        common = dict(use_bias=True, dtype=self.dtype)
        mean = jnp.mean(x, axis=(1, 2), keepdims=True, dtype=jnp.float32)
        squeezed = Conv(scaled(channels // 4, 1.0, 8), name="reduce", **common)(mean)
        weights = Conv(channels, name="expand", **common)(nn.relu(squeezed))
        return x * nn.hard_sigmoid(weights)
