"""What the transformers share: `Attention`, `MLP`, `Block`, `DropPath`."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.ops.backward import barrier, linear

DENSE_INIT = nn.initializers.truncated_normal(0.02)


def exact_gelu(x: jax.Array) -> jax.Array:
    """The Gaussian error linear unit as PyTorch has it, by the error function."""
    # Not by 1 - erf: on CPUs the complement is computed far slower.
    return 0.5 * x * (1.0 + lax.erf(x / 2**0.5))


def _product(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """What `nn.Dense` asks of `lax.dot_general`."""
    return linear(x, kernel)


class Dense(nn.Dense):
    """A linear map, initialised as vision transformers are, fast backwards."""

    kernel_init: Callable[..., jax.Array] = DENSE_INIT
    dot_general: Callable[..., jax.Array] | None = _product


class LayerNorm(nn.LayerNorm):
    """Layer normalisation whose variance does not cancel.

    Attributes:
        epsilon: 1e-6 in the papers' code, 1e-5 where PyTorch's default was kept.
    """

    epsilon: float = 1e-6
    use_fast_variance: bool = False


class DropPath(nn.Module):
    """Leaves a residual branch out for some examples in training (Huang et al. 2016).

    Attributes:
        rate: share of the examples; needs a key in the rng collection `dropout`.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps [B, ...] to the same shape; what stays is scaled by 1 / (1 - rate)."""
        others = tuple(range(1, x.ndim))
        return nn.Dropout(self.rate, broadcast_dims=others)(x, deterministic=not train)


class Attention(nn.Module):
    """Multi-head self-attention, softmax in float32.

    Parameters: `qkv` [D, 3D], queries, keys and values side by side, each with its
    heads side by side; `out` [D, D].

    Attributes:
        num_heads: into how many parts D is split.
        use_bias: whether queries, keys and values have a bias.
        is_causal: whether a token sees only those before it and itself.
        dropout: rate in training, of the attention weights and of the result.
        dtype: of the computation.
    """

    num_heads: int
    use_bias: bool = True
    is_causal: bool = False
    dropout: float = 0.0
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps tokens [B, T, D] to [B, T, D]."""
        b, t, d = x.shape
        qkv = Dense(3 * d, use_bias=self.use_bias, dtype=self.dtype, name="qkv")(x)
        query, key, value = jnp.split(
            qkv.reshape(b, t, 3 * self.num_heads, d // self.num_heads), 3, axis=2
        )
        drop = nn.Dropout(self.dropout, deterministic=not train)
        if self.dropout and train:
            x = _attend_with_dropout(
                query, key, value, is_causal=self.is_causal, drop=drop
            )
        else:
            x = jax.nn.dot_product_attention(
                query, key, value, is_causal=self.is_causal
            )
        return drop(Dense(d, dtype=self.dtype, name="out")(x.reshape(b, t, d)))


def _attend_with_dropout(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    is_causal: bool,
    drop: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """Attention [B, T, heads, D / heads] some of whose weights are dropped."""
    _, t, _, d = query.shape
    scores = jnp.einsum(
        "bqhd,bkhd->bhqk", query, key, preferred_element_type=jnp.float32
    )
    if is_causal:
        scores = jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -jnp.inf)
    weights = drop(jax.nn.softmax(scores / d**0.5)).astype(value.dtype)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


class MLP(nn.Module):
    """Two linear maps with an activation between.

    Attributes:
        hidden: channels between the two.
        activation: between the two.
        dropout: rate in training, after each of the two.
        dtype: of the computation.
    """

    hidden: int
    activation: Callable[[jax.Array], jax.Array] = exact_gelu
    dropout: float = 0.0
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [..., D] to [..., D]."""
        *_, d = x.shape
        drop = nn.Dropout(self.dropout, deterministic=not train)
        x = self.activation(Dense(self.hidden, dtype=self.dtype, name="fc1")(x))
        return drop(Dense(d, dtype=self.dtype, name="fc2")(drop(x)))


class Block(nn.Module):
    """x + attention(norm x), then x + MLP(norm x) (Dosovitskiy et al. 2021).

    Attributes:
        num_heads: of the attention.
        mlp_ratio: hidden channels of the MLP as a multiple of D.
        drop_path: rate of both branches.
        dropout: rate within the branches.
        epsilon: of the normalisations.
        activation: of the MLP.
        is_causal: whether a token sees only those before it and itself.
        dtype: of the computation.
    """

    num_heads: int
    mlp_ratio: float = 4.0
    drop_path: float = 0.0
    dropout: float = 0.0
    epsilon: float = 1e-6
    activation: Callable[[jax.Array], jax.Array] = exact_gelu
    is_causal: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps tokens [B, T, D] to [B, T, D]."""
        x = barrier(x)
        *_, d = x.shape
        drop = DropPath(self.drop_path, name="drop_path")
        y = LayerNorm(epsilon=self.epsilon, dtype=self.dtype, name="norm1")(x)
        y = Attention(
            self.num_heads,
            is_causal=self.is_causal,
            dropout=self.dropout,
            dtype=self.dtype,
            name="attention",
        )(y, train)
        x = x + drop(y, train)
        y = LayerNorm(epsilon=self.epsilon, dtype=self.dtype, name="norm2")(x)
        y = MLP(
            int(self.mlp_ratio * d),
            self.activation,
            dropout=self.dropout,
            dtype=self.dtype,
            name="mlp",
        )(y, train)
        return x + drop(y, train)
