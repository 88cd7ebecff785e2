"""The transformer decoder of DETR (Carion et al. 2020): queries read a feature map.

Read `QueryTransformer` first, then `DecoderLayer`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.layers import Conv
from jaxseg.models.transformer import Dense, LayerNorm

INIT = nn.initializers.xavier_uniform()
EPSILON = 1e-5  # of the layer normalisations
TEMPERATURE = 10_000.0


class QueryTransformer(nn.Module):
    """Queries that begin as zeros and are told apart by a learned position each.

    Attributes:
        num_queries: Q.
        width: D, channels of queries and map.
        depth: number of layers.
        num_heads: of the attentions.
        hidden: channels between the two linear maps of a layer.
        dropout: rate in training; needs a key in the rng collection `dropout`.
        remat: whether the backward pass computes the layers again, to save memory.
        dtype: of the computation.
    """

    num_queries: int = 100
    width: int = 256
    depth: int = 6
    num_heads: int = 8
    hidden: int = 2048
    dropout: float = 0.1
    remat: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps a feature map [B, h, w, D'] to the queries after each layer.

        Returns:
            [depth, B, Q, D], each layer's normalised alike.
        """
        if x.shape[-1] != self.width:
            x = Conv(
                self.width,
                use_bias=True,
                dtype=self.dtype,
                kernel_init=nn.initializers.lecun_uniform(),
                name="input_proj",
            )(x)
        b, h, w, d = x.shape
        memory = x.reshape(b, h * w, d)
        positions = sine_positions(h, w, d).reshape(h * w, d).astype(memory.dtype)
        query_positions = self.param(
            "query_embed", nn.initializers.normal(1.0), (self.num_queries, d)
        ).astype(memory.dtype)
        # Arguments are counted with self as 0: `train` is the fifth.
        layer_class = (
            nn.remat(DecoderLayer, static_argnums=(5,)) if self.remat else DecoderLayer
        )
        queries = jnp.zeros((b, self.num_queries, d), memory.dtype)
        layers = []
        for index in range(self.depth):
            queries = layer_class(
                self.num_heads,
                self.hidden,
                dropout=self.dropout,
                dtype=self.dtype,
                name=f"layer_{index}",
            )(queries, query_positions, memory, memory + positions, train)
            layers.append(queries)
        return _norm(self.dtype, "norm")(jnp.stack(layers))


class DecoderLayer(nn.Module):
    """Attention among queries, attention to the map, MLP; normalised after each.

    Like the authors' code, unlike Hugging Face's, dropout also takes attention weights
    and hidden channels of the MLP.

    Attributes:
        num_heads: of both attentions.
        hidden: channels between the two linear maps of the MLP.
        dropout: rate in training.
        dtype: of the computation.
    """

    num_heads: int
    hidden: int
    dropout: float = 0.0
    dtype: Any = "float32"

    @nn.compact
    def __call__(
        self,
        queries: jax.Array,
        query_positions: jax.Array,
        memory: jax.Array,
        placed_memory: jax.Array,
        train: bool,
    ) -> jax.Array:
        """Updates the queries.

        Args:
            queries: [B, Q, D].
            query_positions: [Q, D] added to the queries where they are compared.
            memory: [B, N, D] the map's pixels.
            placed_memory: [B, N, D] the same plus their positions.
            train: whether dropout is on.

        Returns:
            [B, Q, D].
        """
        *_, d = queries.shape
        drop = nn.Dropout(self.dropout, deterministic=not train)

        placed = queries + query_positions
        attention = self._attention("self_attention")
        x = attention(placed, placed, queries, train=train)
        queries = _norm(self.dtype, "norm1")(queries + drop(x))

        placed = queries + query_positions
        attention = self._attention("cross_attention")
        x = attention(placed, placed_memory, memory, train=train)
        queries = _norm(self.dtype, "norm2")(queries + drop(x))

        x = Dense(self.hidden, kernel_init=INIT, dtype=self.dtype, name="fc1")(queries)
        x = drop(nn.relu(x))
        x = Dense(d, kernel_init=INIT, dtype=self.dtype, name="fc2")(x)
        return _norm(self.dtype, "norm3")(queries + drop(x))

    def _attention(self, name: str) -> "CrossAttention":
        return CrossAttention(
            self.num_heads, dropout=self.dropout, dtype=self.dtype, name=name
        )


class CrossAttention(nn.Module):
    """Multi-head attention of one set of tokens to another, softmax in float32.

    Parameters as those of `jaxseg.models.transformer.Attention`.

    Attributes:
        num_heads: into how many parts D is split.
        dropout: rate of the attention weights, in training.
        dtype: of the computation.
    """

    num_heads: int
    dropout: float = 0.0
    dtype: Any = "float32"

    @nn.compact
    def __call__(
        self, query: jax.Array, key: jax.Array, value: jax.Array, *, train: bool
    ) -> jax.Array:
        """Maps queries [B, Q, D] and keys and values [B, N, D] to [B, Q, D]."""
        *_, d = query.shape
        project = ThreeLinear(dtype=self.dtype, name="qkv")
        query, key, value = (
            x.reshape(*x.shape[:2], self.num_heads, d // self.num_heads)
            for x in project(query, key, value)
        )
        scores = jnp.einsum(
            "bqnd,bknd->bnqk", query, key, preferred_element_type=jnp.float32
        )
        weights = jax.nn.softmax(scores / (d // self.num_heads) ** 0.5, axis=-1)
        weights = nn.Dropout(self.dropout)(weights, deterministic=not train)
        x = jnp.einsum("bnqk,bknd->bqnd", weights.astype(value.dtype), value)
        x = x.reshape(*x.shape[:2], d)
        return Dense(d, kernel_init=INIT, dtype=self.dtype, name="out")(x)


class ThreeLinear(nn.Module):
    """Three linear maps of three inputs, whose kernels lie side by side as one.

    Attributes:
        dtype: of the computation.
    """

    dtype: Any = "float32"

    @nn.compact
    def __call__(self, *inputs: jax.Array) -> list[jax.Array]:
        """Maps three arrays [..., D] each to [..., D]."""
        *_, d = inputs[0].shape
        kernel = self.param("kernel", INIT, (d, 3 * d))
        bias = self.param("bias", nn.initializers.zeros, (3 * d,))
        kernels = jnp.split(kernel.astype(self.dtype), 3, axis=1)
        biases = jnp.split(bias.astype(self.dtype), 3)
        return [
            x.astype(self.dtype) @ kernel + bias
            for x, kernel, bias in zip(inputs, kernels, biases, strict=True)
        ]


def sine_positions(height: int, width: int, features: int) -> np.ndarray:
    """Where each pixel is, as waves of falling frequency.

    Row r of h has the angle 2 pi (r + 1) / h at frequency 1, columns likewise. Half of
    the channels are of rows, half of columns: sine and cosine in turn, at frequencies
    TEMPERATURE^(-4 i / D).

    Args:
        height: h.
        width: w.
        features: D, divisible by 4.

    Returns:
        [h, w, D] float32.
    """

    def waves(size: int) -> np.ndarray:
        turns = np.arange(1, size + 1) / (size + 1e-6)
        frequencies = TEMPERATURE ** -(4 * np.arange(features // 4) / features)
        angles = 2 * np.pi * turns[:, None] * frequencies
        pairs = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
        return pairs.reshape(size, features // 2)

    rows = np.broadcast_to(waves(height)[:, None], (height, width, features // 2))
    columns = np.broadcast_to(waves(width), (height, width, features // 2))
    return np.concatenate([rows, columns], axis=-1).astype(np.float32)


def _norm(dtype: Any, name: str) -> LayerNorm:
    return LayerNorm(epsilon=EPSILON, dtype=dtype, name=name)
