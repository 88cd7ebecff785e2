"""DeepLabV3 (Chen et al. 2017): one map seen at several rates, and as a whole.

With `skip_stage` the head also sharpens the result by a shallow stage, as DeepLabV3+
(Chen et al. 2018) does. Unlike the papers' code there is no dropout.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.layers import ConvNorm
from jaxseg.ops.resize import resize_bilinear


class DeepLabV3(nn.Module):
    """Atrous pyramid on the last stage, optionally joined with a shallow one.

    Attributes:
        features: D, channels of every branch and of the result.
        rates: dilations of the pyramid; (6, 12, 18) at output stride 16, twice that
            at 8.
        project_kernel: side of the convolution that joins the branches: 1 in the paper
            and torchvision, 3 in PiCo's code.
        refine: whether one more 3x3 convolution with normalisation, but without ReLU,
            follows the pyramid, as in PiCo's code.
        skip_stage: which of the backbone's stages to join, None for none. For
            MobileNetV2 and ResNet -3 is the one at stride 8.
        skip_features: channels to which that stage is reduced.
        separable: convolutions of the pyramid and of the join are depthwise, then 1x1,
            as in DeepLabV3+: an eighth of the work.
        dtype: of the computation.
    """

    features: int = 256
    rates: tuple[int, ...] = (6, 12, 18)
    project_kernel: int = 1
    refine: bool = False
    skip_stage: int | None = None
    skip_features: int = 48
    separable: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages [B, h, w, D'] to features [B, h, w, D].

        Their size is the last stage's, or that of the skipped one.
        """
        x = ASPP(
            self.features,
            rates=self.rates,
            project_kernel=self.project_kernel,
            separable=self.separable,
            dtype=self.dtype,
            name="aspp",
        )(stages[-1], train=train)
        if self.refine:
            x = ConvNorm(
                self.features, 3, activation=None, dtype=self.dtype, name="refine"
            )(x, train=train)
        if self.skip_stage is None:
            return x
        shallow = ConvNorm(self.skip_features, dtype=self.dtype, name="skip")(
            stages[self.skip_stage], train=train
        )
        _, h, w, _ = shallow.shape
        x = resize_bilinear(x, (h, w), align_corners=False)
        x = jnp.concatenate([x, shallow], axis=-1)
        return _Window(
            self.features, separable=self.separable, dtype=self.dtype, name="join"
        )(x, train=train)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, dilated 3x3s, the picture's mean; joined.

    Attributes:
        features: D, channels of every branch and of the result.
        rates: dilation of each 3x3 convolution.
        project_kernel: side of the joining convolution.
        separable: whether the 3x3 convolutions are depthwise, then 1x1.
        dtype: of the computation.
    """

    features: int = 256
    rates: tuple[int, ...] = (6, 12, 18)
    project_kernel: int = 1
    separable: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps [B, h, w, D'] to [B, h, w, D]."""
        branches = [
            ConvNorm(self.features, dtype=self.dtype, name="point")(x, train=train)
        ]
        for index, rate in enumerate(self.rates):
            branches.append(
                _Window(
                    self.features,
                    dilation=rate,
                    separable=self.separable,
                    dtype=self.dtype,
                    name=f"rate_{index}",
                )(x, train=train)
            )
        mean = jnp.mean(x, axis=(1, 2), keepdims=True, dtype=jnp.float32)
        pooled = ConvNorm(self.features, dtype=self.dtype, name="pool")(
            mean, train=train
        )
        branches.append(jnp.broadcast_to(pooled, branches[0].shape))
        return ConvNorm(
            self.features, self.project_kernel, dtype=self.dtype, name="project"
        )(jnp.concatenate(branches, axis=-1), train=train)


class _Window(nn.Module):
    """A 3x3 convolution, dense or separable, with normalisation and ReLU."""

    features: int
    dilation: int = 1
    separable: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        groups = x.shape[-1] if self.separable else 1
        x = ConvNorm(
            groups if self.separable else self.features,
            3,
            dilation=self.dilation,
            groups=groups,
            dtype=self.dtype,
            name="window",
        )(x, train=train)
        if not self.separable:
            return x
        return ConvNorm(self.features, dtype=self.dtype, name="point")(x, train=train)
