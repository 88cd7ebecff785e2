"""Mix Transformer (Xie et al. 2021), the backbone of SegFormer.

Read `MiT` first. Maps stay maps [B, h, w, D]; only the attention sees rows of tokens.
Positions are nowhere encoded: the 3x3 convolution in each block's MLP feels the zeros
around the map.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.layers import Conv, symmetric_padding
from jaxseg.models.transformer import Dense, DropPath, LayerNorm, exact_gelu
from jaxseg.ops.backward import barrier

# PyTorch's default, which the authors kept where they did not ask for 1e-6.
EMBEDDING_EPSILON = 1e-5
# By output, as the authors initialise: a depthwise output sees its nine taps only.
DEPTHWISE_INIT = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class MiT(nn.Module):
    """Four stages of transformer blocks at strides 4, 8, 16 and 32; B0 by default.

    Entries of a sequence are for the stages in turn.

    Attributes:
        widths: D of each stage: (32, 64, 160, 256) for B0, (64, 128, 320, 512) for B1
            to B5.
        depths: blocks: (2, 2, 2, 2) for B0 and B1, (3, 4, 6, 3) for B2, (3, 4, 18, 3)
            for B3, (3, 8, 27, 3) for B4, (3, 6, 40, 3) for B5.
        num_heads: of the attention.
        reductions: keys and values come from windows of this side.
        mlp_ratio: hidden channels of the MLPs as a multiple of D.
        drop_path: rate of the last block; the rates grow linearly from 0.
        epsilon: of the normalisations before attention and MLP and after each stage:
            1e-6 in the authors' code, 1e-5 in transformers.
        dtype: of the computation.
        remat: whether the backward pass computes the blocks again, to save memory.
    """

    widths: tuple[int, ...] = (32, 64, 160, 256)
    depths: tuple[int, ...] = (2, 2, 2, 2)
    num_heads: tuple[int, ...] = (1, 2, 5, 8)
    reductions: tuple[int, ...] = (8, 4, 2, 1)
    mlp_ratio: int = 4
    drop_path: float = 0.1
    epsilon: float = 1e-6
    dtype: Any = "float32"
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to four stages [B, h, w, D], h = ceil(H / stride).

        Raises:
            ValueError: if a side is so small that a stage has no keys.
        """
        block_class = (
            nn.remat(MixBlock, static_argnums=(2,)) if self.remat else MixBlock
        )
        rates = iter(np.linspace(0.0, self.drop_path, sum(self.depths)))
        stages = []
        for index, width in enumerate(self.widths):
            x = PatchEmbedding(
                width,
                window=3 if index else 7,
                strides=2 if index else 4,
                dtype=self.dtype,
                name=f"stage{index}_embedding",
            )(x)
            for block in range(self.depths[index]):
                x = block_class(
                    self.num_heads[index],
                    self.reductions[index],
                    self.mlp_ratio,
                    drop_path=float(next(rates)),
                    epsilon=self.epsilon,
                    dtype=self.dtype,
                    name=f"stage{index}_block{block}",
                )(x, train)
            x = LayerNorm(
                epsilon=self.epsilon, dtype=self.dtype, name=f"stage{index}_norm"
            )(x)
            stages.append(x)
        return tuple(stages)


class PatchEmbedding(nn.Module):
    """A strided convolution over windows that overlap, normalised.

    Attributes:
        features: D.
        window: side of the windows.
        strides: their distance.
        dtype: of the computation.
    """

    features: int
    window: int
    strides: int
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, W, D'] to [B, ceil(H / strides), ceil(W / strides), D]."""
        x = Conv(
            self.features,
            self.window,
            strides=self.strides,
            padding=symmetric_padding(self.window),
            use_bias=True,
            dtype=self.dtype,
            name="conv",
        )(x)
        return LayerNorm(epsilon=EMBEDDING_EPSILON, dtype=self.dtype, name="norm")(x)


class MixBlock(nn.Module):
    """x + attention(norm x), then x + MLP(norm x).

    Attributes:
        num_heads: of the attention.
        reduction: side of the windows that keys and values come from.
        mlp_ratio: hidden channels of the MLP as a multiple of D.
        drop_path: rate of both branches.
        epsilon: of the two normalisations.
        dtype: of the computation.
    """

    num_heads: int
    reduction: int
    mlp_ratio: int = 4
    drop_path: float = 0.0
    epsilon: float = 1e-6
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps [B, h, w, D] to the same shape."""
        x = barrier(x)
        *_, d = x.shape
        drop = DropPath(self.drop_path, name="drop_path")
        y = LayerNorm(epsilon=self.epsilon, dtype=self.dtype, name="norm1")(x)
        y = ReducedAttention(
            self.num_heads, self.reduction, dtype=self.dtype, name="attention"
        )(y)
        x = x + drop(y, train)
        y = LayerNorm(epsilon=self.epsilon, dtype=self.dtype, name="norm2")(x)
        y = MixMLP(self.mlp_ratio * d, dtype=self.dtype, name="mlp")(y)
        return x + drop(y, train)


class ReducedAttention(nn.Module):
    """Every pixel attends to one token per window instead of one per pixel.

    Parameters: `query` [D, D]; `key_value` [D, 2D], keys and values side by side, each
    with its heads side by side; `out` [D, D]; for reductions above 1 also `reduce`
    [r, r, D, D] and `reduce_norm`.

    Attributes:
        num_heads: into how many parts D is split.
        reduction: r, the side of the windows.
        dtype: of the computation.
    """

    num_heads: int
    reduction: int
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, h, w, D] to the same shape."""
        b, h, w, d = x.shape
        query = Dense(d, dtype=self.dtype, name="query")(x)
        tokens = self._reduced(x)
        key_value = Dense(2 * d, dtype=self.dtype, name="key_value")(tokens)
        key, value = jnp.split(
            key_value.reshape(b, -1, 2 * self.num_heads, d // self.num_heads), 2, axis=2
        )
        query = query.reshape(b, h * w, self.num_heads, d // self.num_heads)
        x = jax.nn.dot_product_attention(query, key, value)
        return Dense(d, dtype=self.dtype, name="out")(x.reshape(b, h, w, d))

    def _reduced(self, x: jax.Array) -> jax.Array:
        """One token per whole window, [B, h // r, w // r, D]."""
        _, h, w, d = x.shape
        if self.reduction == 1:
            return x
        if min(h, w) < self.reduction:
            raise ValueError(
                f"a map of {h}x{w} has no window of {self.reduction}x{self.reduction} "
                "for keys and values: give larger images"
            )
        x = Conv(
            d,
            self.reduction,
            strides=self.reduction,
            padding=((0, 0), (0, 0)),
            use_bias=True,
            dtype=self.dtype,
            name="reduce",
        )(x)
        return LayerNorm(
            epsilon=EMBEDDING_EPSILON, dtype=self.dtype, name="reduce_norm"
        )(x)


class MixMLP(nn.Module):
    """Two linear maps with a depthwise 3x3 convolution and GELU between.

    Attributes:
        hidden: channels between the two.
        dtype: of the computation.
    """

    hidden: int
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, h, w, D] to the same shape."""
        *_, d = x.shape
        x = Dense(self.hidden, dtype=self.dtype, name="fc1")(x)
        x = Conv(
            self.hidden,
            3,
            padding=symmetric_padding(3),
            groups=self.hidden,
            use_bias=True,
            dtype=self.dtype,
            kernel_init=DEPTHWISE_INIT,
            name="depthwise",
        )(x)
        return Dense(d, dtype=self.dtype, name="fc2")(exact_gelu(x))
