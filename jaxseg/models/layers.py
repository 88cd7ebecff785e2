"""What the backbones and heads share: `Conv`, `ConvNorm` and `join_stages`."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.ops import convolution
from jaxseg.ops.resize import resize_bilinear

KERNEL_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Conv(nn.Module):
    """A 2-D convolution with the parameters of `nn.Conv`, computed the fastest way.

    A 1x1 convolution is a matrix product; depthwise and dilated ones are written as
    sums of shifted maps where that is faster (`jaxseg.ops.convolution`). Parameters:
    `kernel` [k, k, D / groups, D'] and, if asked for, `bias` [D'], in float32.

    Attributes:
        features: D', channels of the result.
        kernel_size: k, the side of the square window.
        strides: distance of the outputs.
        dilation: distance of the taps.
        padding: "SAME" as TensorFlow means it, or ((top, bottom), (left, right)).
        groups: into how many groups the channels are split.
        use_bias: whether to add a bias.
        dtype: of the computation and the result.
        kernel_init: initialiser of the kernel.
    """

    features: int
    kernel_size: int = 1
    strides: int = 1
    dilation: int = 1
    padding: convolution.Padding = "SAME"
    groups: int = 1
    use_bias: bool = False
    dtype: Any = "float32"
    kernel_init: Callable[..., jax.Array] = KERNEL_INIT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, W, D] to [B, H', W', D']."""
        if x.shape[-1] % self.groups or self.features % self.groups:
            raise ValueError(
                f"{x.shape[-1]} -> {self.features} channels do not split into "
                f"{self.groups} groups"
            )
        kernel = self.param(
            "kernel",
            self.kernel_init,
            (
                self.kernel_size,
                self.kernel_size,
                x.shape[-1] // self.groups,
                self.features,
            ),
            jnp.float32,
        )
        x = self._convolve(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.use_bias:
            bias = self.param(
                "bias", nn.initializers.zeros, (self.features,), jnp.float32
            )
            x = x + bias.astype(self.dtype)
        return x

    def _convolve(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        unpadded = self.padding == "SAME" or self.padding == ((0, 0), (0, 0))
        if self.kernel_size == 1 and self.groups == 1 and unpadded:
            return convolution.pointwise_conv(x, kernel, strides=self.strides)
        if self.groups == x.shape[-1] == self.features:
            return convolution.depthwise_conv(
                x,
                kernel,
                strides=self.strides,
                dilation=self.dilation,
                padding=self.padding,
            )
        if self.dilation > 1 and self.strides == 1 and self.groups == 1:
            return convolution.atrous_conv(
                x, kernel, dilation=self.dilation, padding=self.padding
            )
        return convolution.native_conv(
            x,
            kernel,
            strides=self.strides,
            dilation=self.dilation,
            padding=self.padding,
            groups=self.groups,
        )


class ConvNorm(nn.Module):
    """Convolution, batch normalisation, activation.

    The batch is the global one: a step is written for all devices at once, so that the
    compiler averages over them and no axis has to be named. Statistics are float32.

    Attributes:
        features: D', channels of the result.
        kernel_size: side of the square window.
        strides: distance of the outputs.
        dilation: distance of the taps.
        padding: "SAME" or ((top, bottom), (left, right)).
        groups: into how many groups the channels are split.
        use_bias: whether the convolution has a bias. The normalisation takes it away
            again; some published networks have it nevertheless.
        activation: what follows the normalisation; None: nothing.
        epsilon: added to the variance.
        scale_init: initialiser of the normalisation's scale.
        dtype: of the computation and the result.
    """

    features: int
    kernel_size: int = 1
    strides: int = 1
    dilation: int = 1
    padding: convolution.Padding = "SAME"
    groups: int = 1
    use_bias: bool = False
    activation: Callable[[jax.Array], jax.Array] | None = nn.relu
    epsilon: float = 1e-5
    scale_init: Callable[..., jax.Array] = nn.initializers.ones
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps [B, H, W, D] to [B, H', W', D'].

        In training the statistics are the batch's, and are recorded.
        """
        x = Conv(
            self.features,
            self.kernel_size,
            strides=self.strides,
            dilation=self.dilation,
            padding=self.padding,
            groups=self.groups,
            use_bias=self.use_bias,
            dtype=self.dtype,
            name="conv",
        )(x)
        x = nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            epsilon=self.epsilon,
            scale_init=self.scale_init,
            # E[x^2] - E[x]^2 cancels where the mean is large.
            use_fast_variance=False,
            dtype=self.dtype,
            name="norm",
        )(x)
        return x if self.activation is None else self.activation(x)


def join_stages(stages: Sequence[jax.Array], indices: Sequence[int]) -> jax.Array:
    """Some of a backbone's stages as one map, of the first one's size.

    The others are enlarged linearly with aligned corners, as HRNet joins its branches.

    Args:
        stages: [B, h, w, D] maps of any sizes.
        indices: which of them, in the order of the result's channels; at least one.

    Returns:
        [B, h, w, sum of D]; a single stage comes back as it is.

    Raises:
        ValueError: if there is no such stage.
    """
    wrong = [i for i in indices if not -len(stages) <= i < len(stages)]
    if wrong or not indices:
        raise ValueError(
            f"stages {tuple(indices)} of a backbone with {len(stages)}: choose at "
            f"least one, from 0 to {len(stages) - 1}, or -1 to -{len(stages)}, from "
            "the end"
        )
    first, *others = (stages[index] for index in indices)
    if not others:
        return first
    _, h, w, _ = first.shape
    enlarged = [resize_bilinear(x, (h, w), align_corners=True) for x in others]
    return jnp.concatenate([first, *enlarged], axis=-1)


def symmetric_padding(
    kernel_size: int, dilation: int = 1
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Equal padding of all sides, as in PyTorch, that keeps the size at stride 1."""
    pad = dilation * (kernel_size - 1) // 2
    return (pad, pad), (pad, pad)
