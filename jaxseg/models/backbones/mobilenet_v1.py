"""MobileNetV1 (Howard et al. 2017): depthwise and 1x1 convolutions in turn.

Submodules carry TensorFlow's names. By default padding and epsilon are TensorFlow's,
too; PyTorch's versions have `padding="torch"` and `epsilon=1e-5`.
"""

from typing import Any

import flax.linen as nn
import jax

from jaxseg.models.backbones.mobilenet_v2 import scaled, trade_strides, window_padding
from jaxseg.models.layers import ConvNorm

# Table 1 of the paper, a row per stride: (channels, stride) of each block.
STAGES = (
    ((64, 1),),
    ((128, 2), (128, 1)),
    ((256, 2), (256, 1)),
    ((512, 2), *[(512, 1)] * 5),
    ((1024, 2), (1024, 1)),
)


class MobileNetV1(nn.Module):
    """Thirteen separable convolutions; stages at strides 2, 4, 8, 16 and 32.

    Where the stride would pass `output_stride`, later blocks spread their taps instead.

    Attributes:
        output_stride: 8, 16 or 32, the stride of the deepest stages.
        width: multiplies the channels; 1, 0.75, 0.5 and 0.25 are published.
        padding: of the windows, "tensorflow" or "torch".
        epsilon: of the normalisations.
        remat: whether training computes the blocks again in the backward pass, which
            saves memory and changes no number.
        dtype: of the computation.
    """

    output_stride: int = 16
    width: float = 1.0
    padding: str = "tensorflow"
    epsilon: float = 1e-3
    remat: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to five stages, of 64, 128, 256, 512 and 1024 channels."""
        x = ConvNorm(
            scaled(32, self.width, 8),
            3,
            strides=2,
            padding=window_padding(self.padding, 3),
            activation=nn.relu6,
            epsilon=self.epsilon,
            dtype=self.dtype,
            name="Conv2d_0",
        )(x, train=train)

        # Evaluation has no backward pass, and those who look into it see all layers.
        block = SeparableConv
        if self.remat and train:
            block = nn.remat(SeparableConv, static_argnums=(2,))
        strides = [stride for stage in STAGES for _, stride in stage]
        plan = iter(trade_strides(strides, self.output_stride))
        stages = []
        index = 0
        for stage in STAGES:
            for channels, _ in stage:
                stride, dilation = next(plan)
                index += 1
                x = block(
                    scaled(channels, self.width, 8),
                    strides=stride,
                    dilation=dilation,
                    padding=self.padding,
                    epsilon=self.epsilon,
                    dtype=self.dtype,
                    name=f"Conv2d_{index}",
                )(x, train)
            stages.append(x)
        return tuple(stages)


class SeparableConv(nn.Module):
    """Every channel by itself, then 1x1; each with normalisation and ReLU6.

    Attributes:
        features: channels of the result.
        strides: of the depthwise convolution.
        dilation: of the depthwise convolution.
        padding: of the window, "tensorflow" or "torch".
        epsilon: of the normalisations.
        dtype: of the computation.
    """

    features: int
    strides: int = 1
    dilation: int = 1
    padding: str = "tensorflow"
    epsilon: float = 1e-3
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps [B, h, w, D] to [B, h / strides, w / strides, features]."""
        *_, channels = x.shape
        common = dict(activation=nn.relu6, epsilon=self.epsilon, dtype=self.dtype)
        x = ConvNorm(
            channels,
            3,
            strides=self.strides,
            dilation=self.dilation,
            padding=window_padding(self.padding, 3, self.dilation),
            groups=channels,
            name="depthwise",
            **common,
        )(x, train=train)
        return ConvNorm(self.features, name="pointwise", **common)(x, train=train)
