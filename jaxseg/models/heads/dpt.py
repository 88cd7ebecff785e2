"""DPT (Ranftl et al. 2021): a plain transformer's stages as a pyramid, fused upwards.

Read `DPT` first; its parts serve alone, too: `Reassemble` is the head of SAZS's
encoder, which reads one stage, and `Fusion` joins any pyramid.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.layers import Conv, ConvNorm, symmetric_padding
from jaxseg.ops.resize import resize_bilinear

# Each output of a transposed convolution whose windows do not overlap sees one pixel.
ENLARGE_INIT = nn.initializers.variance_scaling(
    1.0, "fan_in", "normal", in_axis=-1, out_axis=-2, batch_axis=(0, 1)
)


class DPT(nn.Module):
    """Reassembles stages at several scales, fuses them, and convolves the result.

    It is at twice the finest scale: stride 2 for patches of 16 and scales up to 4.

    Attributes:
        features: D of the fusion and the result.
        reassembled: channels of the maps that the stages become, shallow to deep.
        scales: sizes of those maps, as multiples of the stages': powers of 2.
        use_norm: whether the residual units are normalised; else they have biases.
        refine: whether a 3x3 convolution with normalisation and ReLU ends the head, as
            for semantic classes.
        dropout: share of the features that training blanks after it; needs a key in
            the rng collection `dropout`.
        embedding: channels of a last 1x1 convolution, as in LSeg; None: there is none.
        dtype: of the computation.
    """

    features: int = 256
    reassembled: tuple[int, ...] = (256, 512, 1024, 1024)
    scales: tuple[float, ...] = (4, 2, 1, 0.5)
    use_norm: bool = True
    refine: bool = True
    dropout: float = 0.1
    embedding: int | None = None
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages [B, h, w, D'], as many as scales, to features [B, H, W, D]."""
        pyramid = [
            Reassemble(
                features, scale, stage, dtype=self.dtype, name=f"reassemble_{stage}"
            )(stages, train=train)
            for stage, (features, scale) in enumerate(
                zip(self.reassembled, self.scales, strict=True)
            )
        ]
        fusion = Fusion(self.features, self.use_norm, dtype=self.dtype, name="fusion")
        x = fusion(pyramid, train=train)[0]
        if self.refine:
            x = ConvNorm(
                self.features,
                3,
                padding=symmetric_padding(3),
                dtype=self.dtype,
                name="refine",
            )(x, train=train)
            x = nn.Dropout(self.dropout)(x, deterministic=not train)
        if self.embedding is not None:
            x = Conv(self.embedding, use_bias=True, dtype=self.dtype, name="embedding")(
                x
            )
        return x


class Reassemble(nn.Module):
    """A head that brings one stage to other channels and another scale.

    Attributes:
        features: D of the result.
        scale: its size as a multiple of the stage's: a power of 2, such as 4 or 0.5.
        stage: which one.
        dtype: of the computation.
    """

    features: int
    scale: float = 1
    stage: int = -1
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages [B, h, w, D'] to features [B, h scale, w scale, D]."""
        x = Conv(self.features, use_bias=True, dtype=self.dtype, name="project")(
            stages[self.stage]
        )
        if self.scale > 1:
            return _Enlarge(int(self.scale), dtype=self.dtype, name="resize")(x)
        if self.scale < 1:
            return Conv(
                self.features,
                3,
                strides=int(1 / self.scale),
                padding=symmetric_padding(3),
                use_bias=True,
                dtype=self.dtype,
                name="resize",
            )(x)
        return x


class _Enlarge(nn.Module):
    """A transposed convolution of windows side by side: each pixel becomes a square."""

    scale: int
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, h, w, d = x.shape
        s = self.scale
        kernel = self.param("kernel", ENLARGE_INIT, (s, s, d, d), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (d,), jnp.float32)
        x = jnp.einsum("bhwi,yxoi->bhywxo", x, kernel.astype(self.dtype))
        return x.reshape(b, s * h, s * w, d) + bias.astype(self.dtype)


class Fusion(nn.Module):
    """Joins a pyramid from its deepest map upwards, doubling the size each time.

    Attributes:
        features: D of all results.
        use_norm: whether the residual units are normalised; else they have biases.
        dtype: of the computation.
    """

    features: int = 256
    use_norm: bool = True
    dtype: Any = "float32"

    @nn.compact
    def __call__(
        self, pyramid: Sequence[jax.Array], *, train: bool
    ) -> tuple[jax.Array, ...]:
        """Fuses maps [B, h, w, D'], shallow to deep.

        Returns:
            As many maps, shallow to deep; that of the deepest is twice its size, every
            other twice the next one's.
        """
        paths: list[jax.Array] = []
        for level in reversed(range(len(pyramid))):
            x = Conv(
                self.features,
                3,
                padding=symmetric_padding(3),
                dtype=self.dtype,
                name=f"layer_{level}",
            )(pyramid[level])
            paths.append(
                FusionBlock(
                    self.features, self.use_norm, dtype=self.dtype, name=f"fuse_{level}"
                )(x, paths[-1] if paths else None, train=train)
            )
        return tuple(reversed(paths))


class FusionBlock(nn.Module):
    """Adds a residual unit of a map to the path from below; a second unit; enlarges.

    Attributes:
        features: D.
        use_norm: of the residual units.
        dtype: of the computation.
    """

    features: int
    use_norm: bool = True
    dtype: Any = "float32"

    @nn.compact
    def __call__(
        self, x: jax.Array, path: jax.Array | None, *, train: bool
    ) -> jax.Array:
        """Fuses x [B, h, w, D] with a path [B, H, W, D] to [B, 2H, 2W, D].

        x is resized where it has another size, as where an odd map was halved; the
        deepest block has no path, and lacks the first unit.
        """
        if path is not None:
            _, h, w, _ = path.shape
            x = resize_bilinear(x, (h, w), align_corners=False)
            x = path + self._unit("unit1")(x, train=train)
        x = self._unit("unit2")(x, train=train)
        # The published order is the other one. They commute, and so it is a quarter of
        # the work.
        x = Conv(self.features, use_bias=True, dtype=self.dtype, name="project")(x)
        _, h, w, _ = x.shape
        return resize_bilinear(x, (2 * h, 2 * w), align_corners=True)

    def _unit(self, name: str) -> "ResidualUnit":
        return ResidualUnit(self.features, self.use_norm, dtype=self.dtype, name=name)


class ResidualUnit(nn.Module):
    """x + window(relu(window(relu x))), of two 3x3 windows.

    Attributes:
        features: D.
        use_norm: whether the convolutions are normalised; else they have biases.
        dtype: of the computation.
    """

    features: int
    use_norm: bool = True
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps [B, h, w, D] to the same shape."""
        y = x
        for index in (1, 2):
            y = _Window(
                self.features, self.use_norm, dtype=self.dtype, name=f"window{index}"
            )(nn.relu(y), train=train)
        return x + y


class _Window(nn.Module):
    """A 3x3 convolution with a normalisation or with a bias."""

    features: int
    use_norm: bool
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = Conv(
            self.features,
            3,
            padding=symmetric_padding(3),
            use_bias=not self.use_norm,
            dtype=self.dtype,
            name="conv",
        )(x)
        if not self.use_norm:
            return x
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            epsilon=1e-5,
            use_fast_variance=False,
            dtype=self.dtype,
            name="norm",
        )(x)
