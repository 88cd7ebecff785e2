"""OCR (Yuan et al. 2020): each pixel looks at what the classes look like here.

Read `OCR` first, then `class_contexts`, which describes the classes of a picture, and
`ContextAttention`, with which its pixels read the descriptions.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.layers import ConvNorm, join_stages
from jaxseg.ops.resize import resize_bilinear


class OCR(nn.Module):
    """Pixels beside what they read of the classes that an auxiliary head finds.

        F = 3x3(stages)
        result = 1x1([attention(F, contexts(F, classes)), F])

    Attributes:
        features: D, channels of F and of the result; 512, in the small variant 256.
        key_features: channels of queries, keys and values; half of D as published.
        stages: which of the backbone's stages it reads, joined at the first one's size:
            (0, 1, 2, 3) for HRNet, the last one for ResNet.
        attention_bias: whether the convolutions after the 3x3 have a bias, as in PiCo's
            code. HRNet's authors have none.
        dropout: share of the result's channels that training blanks, each over a whole
            picture; needs a key in the rng collection `dropout`.
        dtype: of the computation; both softmaxes are float32.
    """

    features: int = 512
    key_features: int = 256
    stages: tuple[int, ...] = (-1,)
    attention_bias: bool = True
    dropout: float = 0.05
    dtype: Any = "float32"

    reads_classes = True

    @nn.compact
    def __call__(
        self, stages: tuple[jax.Array, ...], classes: jax.Array, *, train: bool
    ) -> jax.Array:
        """Maps stages [B, h, w, D'] and auxiliary logits [B, h, w, C] to features.

        Returns:
            [B, h, w, D] at the size of the first stage that is read.
        """
        pixels = ConvNorm(
            self.features, 3, use_bias=True, dtype=self.dtype, name="pixels"
        )(join_stages(stages, self.stages), train=train)
        # They may come from a finer stage than the last.
        _, h, w, _ = pixels.shape
        classes = resize_bilinear(classes, (h, w), align_corners=True)
        x = ContextAttention(
            self.key_features,
            use_bias=self.attention_bias,
            dtype=self.dtype,
            name="attention",
        )(pixels, class_contexts(pixels, classes), train=train)
        return nn.Dropout(self.dropout, broadcast_dims=(1, 2))(
            x, deterministic=not train
        )


def class_contexts(pixels: jax.Array, classes: jax.Array) -> jax.Array:
    """Describes each class by the mean of the pixels that look like it.

        context_k = sum_x softmax_x(classes_k)(x) F(x)

    Args:
        pixels: [B, h, w, D] features F.
        classes: [B, h, w, C] logits; their softmax is over the picture, so that a class
            that is not there is described by the pixels that look most like it.

    Returns:
        [B, C, D] in the dtype of the pixels.
    """
    weights = jax.nn.softmax(classes.astype(jnp.float32), axis=(1, 2))
    return jnp.einsum(
        "bhwc,bhwd->bcd",
        weights.astype(pixels.dtype),
        pixels,
        preferred_element_type=jnp.float32,
    ).astype(pixels.dtype)


class ContextAttention(nn.Module):
    """Attention of pixels to the classes of their picture, joined with the pixels.

    Attributes:
        key_features: channels of queries, keys and values.
        use_bias: whether the convolutions have a bias.
        dtype: of the computation; the softmax is float32.
    """

    key_features: int
    use_bias: bool = True
    dtype: Any = "float32"

    @nn.compact
    def __call__(
        self, pixels: jax.Array, contexts: jax.Array, *, train: bool
    ) -> jax.Array:
        """Maps pixels [B, h, w, D] and contexts [B, C, D] to [B, h, w, D]."""
        features = pixels.shape[-1]
        contexts = contexts[:, :, None]  # [B, C, 1, D], a map to the convolutions
        query = self._points(pixels, self.key_features, "query_0", train)
        query = self._points(query, self.key_features, "query_1", train)
        key = self._points(contexts, self.key_features, "key_0", train)
        key = self._points(key, self.key_features, "key_1", train)
        value = self._points(contexts, self.key_features, "value", train)

        scores = jnp.einsum(
            "bhwd,bcid->bhwc", query, key, preferred_element_type=jnp.float32
        )
        weights = jax.nn.softmax(scores * self.key_features**-0.5, axis=-1)
        mixed = jnp.einsum("bhwc,bcid->bhwd", weights.astype(value.dtype), value)
        mixed = self._points(mixed, features, "output", train)
        joined = jnp.concatenate([mixed, pixels.astype(mixed.dtype)], axis=-1)
        return self._points(joined, features, "join", train)

    def _points(self, x: jax.Array, features: int, name: str, train: bool) -> jax.Array:
        """A 1x1 convolution with normalisation and ReLU."""
        return ConvNorm(features, use_bias=self.use_bias, dtype=self.dtype, name=name)(
            x, train=train
        )
