"""MobileNetV2 (Sandler et al. 2018), the light backbone with ImageNet weights.

Submodules carry the published names, so that the published weights find them
(`jaxseg.pretrained.mobilenet_v2`). As in TensorFlow, strided windows pad the bottom and
right of even sizes, and the normalisations' epsilon is 1e-3.
"""

from typing import Any

import flax.linen as nn
import jax

from jaxseg.models.layers import ConvNorm

# Table 2 of the paper, a row per stride: (expansion, channels, stride) of each block.
STAGES = (
    ((1, 16, 1),),
    ((6, 24, 2), (6, 24, 1)),
    ((6, 32, 2), (6, 32, 1), (6, 32, 1)),
    ((6, 64, 2), *[(6, 64, 1)] * 3, *[(6, 96, 1)] * 3),
    ((6, 160, 2), *[(6, 160, 1)] * 2, (6, 320, 1)),
)
EPSILON = 1e-3


class MobileNetV2(nn.Module):
    """Seventeen inverted residuals; stages at strides 2, 4, 8, 16 and 32.

    Where the stride would pass `output_stride`, blocks keep the map's size and later
    blocks spread their taps instead, so that the weights see what they were trained on.

    Attributes:
        output_stride: 8, 16 or 32, the stride of the deepest stages.
        width: multiplies the channels.
        divisor: channels are rounded to multiples of it (8 in the paper; the published
            half-size DeepLab has 4).
        dtype: of the computation.
    """

    output_stride: int = 16
    width: float = 1.0
    divisor: int = 8
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to five stages, of 16, 24, 32, 96 and 320 channels."""
        if self.output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride {self.output_stride} is not 8, 16 or 32")
        x = ConvNorm(
            _scaled(32, self.width, self.divisor),
            3,
            strides=2,
            activation=nn.relu6,
            epsilon=EPSILON,
            dtype=self.dtype,
            name="Conv",
        )(x, train=train)

        stages = []
        stride, dilation, index = 2, 1, 0
        for stage in STAGES:
            for expansion, channels, block_stride in stage:
                shrinks = block_stride > 1 and stride < self.output_stride
                x = InvertedResidual(
                    features=_scaled(channels, self.width, self.divisor),
                    expansion=expansion,
                    strides=block_stride if shrinks else 1,
                    dilation=dilation,
                    dtype=self.dtype,
                    name=f"expanded_conv_{index}" if index else "expanded_conv",
                )(x, train=train)
                # The block that gives up its stride keeps its own taps; from the next
                # on, what was n pixels away is 2n away.
                if shrinks:
                    stride *= block_stride
                else:
                    dilation *= block_stride
                index += 1
            stages.append(x)
        return tuple(stages)


class InvertedResidual(nn.Module):
    """Expands the channels, convolves each by itself, projects back without ReLU.

    Attributes:
        features: channels of the result.
        expansion: how many times wider the middle is; 1 leaves the expansion out.
        strides: of the depthwise convolution; 1 with equal channels adds the input.
        dilation: of the depthwise convolution.
        dtype: of the computation.
    """

    features: int
    expansion: int
    strides: int = 1
    dilation: int = 1
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps [B, h, w, D] to [B, h / strides, w / strides, features]."""
        *_, channels = x.shape
        wide = channels * self.expansion
        y = x
        if self.expansion > 1:
            y = ConvNorm(
                wide,
                activation=nn.relu6,
                epsilon=EPSILON,
                dtype=self.dtype,
                name="expand",
            )(y, train=train)
        y = ConvNorm(
            wide,
            3,
            strides=self.strides,
            dilation=self.dilation,
            groups=wide,
            activation=nn.relu6,
            epsilon=EPSILON,
            dtype=self.dtype,
            name="depthwise",
        )(y, train=train)
        y = ConvNorm(
            self.features,
            activation=None,
            epsilon=EPSILON,
            dtype=self.dtype,
            name="project",
        )(y, train=train)
        is_residual = self.strides == 1 and channels == self.features
        return x + y if is_residual else y


def _scaled(channels: int, width: float, divisor: int) -> int:
    """Channels times width, to the nearest multiple that loses at most a tenth."""
    wanted = channels * width
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * wanted else rounded + divisor
