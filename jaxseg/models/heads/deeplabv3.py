"""DeepLabV3 (Chen et al. 2017): one map seen at several rates, and as a whole.

With `skip_stage` the head also sharpens the result by a shallow stage, as DeepLabV3+
(Chen et al. 2018) does. The defaults are the paper's, without dropout; others have

    torchvision  rates=(12, 24, 36), dropout=0.5, refine=True, refine_relu=True
    PiCo         features=512, rates=(12, 24, 36), project_kernel=3, refine=True
    ZS3Net       dropout=0.5, skip_stage=0, join_dropouts=(0.5, 0.1), align_corners=True
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
        dropout: share of the pyramid's numbers that training blanks; needs a key in the
            rng collection `dropout`.
        refine: whether one more 3x3 convolution with normalisation follows the pyramid.
        refine_relu: whether a ReLU follows that.
        skip_stage: which of the backbone's stages to join, None for none. For
            MobileNetV2 and ResNet -3 is the one at stride 8.
        skip_features: channels to which that stage is reduced.
        join_dropouts: the dropout after each 3x3 convolution of the joined maps, of
            which there are as many.
        align_corners: whether the pyramid is enlarged to that stage with corner pixels
            in the corners.
        separable: convolutions of the pyramid and of the join are depthwise, then 1x1,
            as in DeepLabV3+: an eighth of the work.
        dtype: of the computation.
    """

    features: int = 256
    rates: tuple[int, ...] = (6, 12, 18)
    project_kernel: int = 1
    dropout: float = 0.0
    refine: bool = False
    refine_relu: bool = False
    skip_stage: int | None = None
    skip_features: int = 48
    join_dropouts: tuple[float, ...] = (0.0,)
    align_corners: bool = False
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
        x = nn.Dropout(self.dropout)(x, deterministic=not train)
        if self.refine:
            x = ConvNorm(
                self.features,
                3,
                activation=nn.relu if self.refine_relu else None,
                dtype=self.dtype,
                name="refine",
            )(x, train=train)
        if self.skip_stage is None:
            return x
        return self._join(x, stages[self.skip_stage], train)

    def _join(self, x: jax.Array, shallow: jax.Array, train: bool) -> jax.Array:
        shallow = ConvNorm(self.skip_features, dtype=self.dtype, name="skip")(
            shallow, train=train
        )
        _, h, w, _ = shallow.shape
        x = resize_bilinear(x, (h, w), align_corners=self.align_corners)
        x = jnp.concatenate([x, shallow], axis=-1)
        for index, dropout in enumerate(self.join_dropouts):
            x = _Window(
                self.features,
                separable=self.separable,
                dtype=self.dtype,
                name=f"join_{index}" if index else "join",
            )(x, train=train)
            x = nn.Dropout(dropout)(x, deterministic=not train)
        return x


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
