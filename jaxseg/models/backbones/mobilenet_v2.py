"""MobileNetV2 (Sandler et al. 2018), the light backbone with ImageNet weights.

Submodules carry TensorFlow's names, so that the published weights find them. By default
the rest is TensorFlow's, too: strided windows pad the bottom and right of even sizes,
and the normalisations' epsilon is 1e-3. PyTorch's versions have `padding="torch"` and
`epsilon=1e-5`.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

from jaxseg.models.layers import ConvNorm, symmetric_padding
from jaxseg.ops.convolution import Padding

# Table 2 of the paper, a row per stride: (expansion, channels, stride) of each block.
STAGES = (
    ((1, 16, 1),),
    ((6, 24, 2), (6, 24, 1)),
    ((6, 32, 2), (6, 32, 1), (6, 32, 1)),
    ((6, 64, 2), *[(6, 64, 1)] * 3, *[(6, 96, 1)] * 3),
    ((6, 160, 2), *[(6, 160, 1)] * 2, (6, 320, 1)),
)


class MobileNetV2(nn.Module):
    """Seventeen inverted residuals; stages at strides 2, 4, 8, 16 and 32.

    Where the stride would pass `output_stride`, blocks keep the map's size and later
    blocks spread their taps instead, so that the weights see what they were trained on.

    Attributes:
        output_stride: 8, 16 or 32, the stride of the deepest stages.
        width: multiplies the channels.
        divisor: channels are rounded to multiples of it (8 in the paper; the published
            half-size DeepLab has 4).
        last_features: channels of a sixth stage, a 1x1 convolution of the fifth, which
            ImageNet's classifier reads (1280 in the paper); 0 for none.
        padding: of the windows, "tensorflow" or "torch".
        epsilon: of the normalisations.
        remat: whether training computes the blocks again in the backward pass, which
            saves memory and changes no number.
        dtype: of the computation.
    """

    output_stride: int = 16
    width: float = 1.0
    divisor: int = 8
    last_features: int = 0
    padding: str = "tensorflow"
    epsilon: float = 1e-3
    remat: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to five stages, of 16, 24, 32, 96 and 320 channels."""
        common = dict(epsilon=self.epsilon, dtype=self.dtype)
        x = ConvNorm(
            scaled(32, self.width, self.divisor),
            3,
            strides=2,
            padding=window_padding(self.padding, 3),
            activation=nn.relu6,
            name="Conv",
            **common,
        )(x, train=train)

        # Evaluation has no backward pass, and those who look into it see all layers.
        block = InvertedResidual
        if self.remat and train:
            block = nn.remat(InvertedResidual, static_argnums=(2,))
        strides = [stride for stage in STAGES for _, _, stride in stage]
        plan = iter(trade_strides(strides, self.output_stride))
        stages = []
        index = 0
        for stage in STAGES:
            for expansion, channels, _ in stage:
                stride, dilation = next(plan)
                x = block(
                    scaled(channels, self.width, self.divisor),
                    expansion=expansion,
                    strides=stride,
                    dilation=dilation,
                    padding=self.padding,
                    name=f"expanded_conv_{index}" if index else "expanded_conv",
                    **common,
                )(x, train)
                index += 1
            stages.append(x)
        if self.last_features:
            last = ConvNorm(
                self.last_features, activation=nn.relu6, name="Conv_1", **common
            )
            stages.append(last(x, train=train))
        return tuple(stages)


class InvertedResidual(nn.Module):
    """Expands the channels, convolves each by itself, projects back without ReLU.

    Attributes:
        features: channels of the result.
        expansion: how many times wider the middle is; 1 leaves the expansion out.
        strides: of the depthwise convolution; 1 with equal channels adds the input.
        dilation: of the depthwise convolution.
        padding: of the window, "tensorflow" or "torch".
        epsilon: of the normalisations.
        dtype: of the computation.
    """

    features: int
    expansion: int
    strides: int = 1
    dilation: int = 1
    padding: str = "tensorflow"
    epsilon: float = 1e-3
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps [B, h, w, D] to [B, h / strides, w / strides, features]."""
        *_, channels = x.shape
        wide = channels * self.expansion
        common = dict(epsilon=self.epsilon, dtype=self.dtype)
        y = x
        if self.expansion > 1:
            y = ConvNorm(wide, activation=nn.relu6, name="expand", **common)(
                y, train=train
            )
        y = ConvNorm(
            wide,
            3,
            strides=self.strides,
            dilation=self.dilation,
            padding=window_padding(self.padding, 3, self.dilation),
            groups=wide,
            activation=nn.relu6,
            name="depthwise",
            **common,
        )(y, train=train)
        y = ConvNorm(self.features, activation=None, name="project", **common)(
            y, train=train
        )
        is_residual = self.strides == 1 and channels == self.features
        return x + y if is_residual else y


def trade_strides(
    strides: Sequence[int], output_stride: int, *, at_once: bool = False
) -> list[tuple[int, int]]:
    """Spreads taps where the stride would pass `output_stride`, for all MobileNets.

    Args:
        strides: of the blocks in a row, which begins at stride 2.
        output_stride: 8, 16 or 32, where the row stops shrinking.
        at_once: whether a block that gives up its stride spreads its own taps, too. It
            must not for its weights to see what they were trained on, but torchvision
            trains it so.

    Returns:
        Stride and dilation of each block.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride {output_stride} is not 8, 16 or 32")
    plan = []
    total, dilation = 2, 1
    for stride in strides:
        if total * stride <= output_stride:
            total *= stride
            plan.append((stride, dilation))
        else:
            before, dilation = dilation, dilation * stride
            plan.append((1, dilation if at_once else before))
    return plan


def window_padding(padding: str, kernel_size: int, dilation: int = 1) -> Padding:
    """What "tensorflow" or "torch" pads around a window that keeps the size."""
    if padding == "tensorflow":
        return "SAME"
    if padding == "torch":
        return symmetric_padding(kernel_size, dilation)
    raise ValueError(f"padding is {padding!r}; choose 'tensorflow' or 'torch'")


def scaled(channels: int, width: float, divisor: int) -> int:
    """Channels times width, to the nearest multiple that loses at most a tenth."""
    wanted = channels * width
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * wanted else rounded + divisor
