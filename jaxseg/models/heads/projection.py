"""Embeddings of pixels, beside the segmentor and in training only."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.layers import Conv, ConvNorm
from jaxseg.ops.lengths import unit_length


class Projection(nn.Module):
    """Maps a backbone's pixels to unit vectors (Wang et al. 2021, f_PROJ).

        x = p / |p|,    p = W2 relu(norm(W1 f + b1)) + b2

    with as many channels in the middle as f has.

    Attributes:
        features: D, the length of the vectors.
        linear: whether p is one linear map of f instead.
        dtype: of the computation before the normalisation, which is float32.
    """

    features: int = 256
    linear: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps [B, h, w, D'] to float32 [B, h, w, D] of length one."""
        if not self.linear:
            *_, channels = x.shape
            x = ConvNorm(channels, use_bias=True, dtype=self.dtype, name="hidden")(
                x, train=train
            )
        x = Conv(self.features, use_bias=True, dtype=self.dtype, name="project")(x)
        return unit_length(x.astype(jnp.float32))
