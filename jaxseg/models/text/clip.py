"""CLIP's text tower (Radford et al. 2021): sentences to points beside their images."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.transformer import Block, Dense, LayerNorm

# PyTorch's default, of all its normalisations.
EPSILON = 1e-5


def quick_gelu(x: jax.Array) -> jax.Array:
    """The approximation of GELU that CLIP was trained with, x sigmoid(1.702 x)."""
    return x * nn.sigmoid(1.702 * x)


class ClipText(nn.Module):
    """A causal transformer whose last token, the end of the text, speaks for it.

    The default is the tower of ViT-B/32 and B/16. Entries of its parameters are
    `token_embedding`, `positional_embedding`, `transformer`, `norm`, `projection`.

    Attributes:
        width: D; 768 for ViT-L/14.
        depth: how many blocks.
        num_heads: of each; 12 for ViT-L/14.
        embedding_dim: E, of the space shared with images; 768 for ViT-L/14.
        context_length: the longest text, in tokens.
        vocabulary: how many tokens there are; the end of text is the last of them.
        dtype: of the computation.
    """

    width: int = 512
    depth: int = 12
    num_heads: int = 8
    embedding_dim: int = 512
    context_length: int = 77
    vocabulary: int = 49_408
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Reads texts.

        Args:
            tokens: [B, T] integer ids, T <= `context_length`; what stands after the
                first largest id of a row, the end of its text, does not count.

        Returns:
            [B, E] float32 features, not normalised.

        Raises:
            ValueError: if the texts are too long.
        """
        b, length = tokens.shape
        if length > self.context_length:
            raise ValueError(
                f"texts of {length} tokens, and the context is {self.context_length}: "
                "cut them, with the end of text as the last token"
            )
        embedding = nn.Embed(
            self.vocabulary,
            self.width,
            dtype=self.dtype,
            embedding_init=nn.initializers.normal(0.02),
            name="token_embedding",
        )
        positions = self.param(
            "positional_embedding",
            nn.initializers.normal(0.01),
            (self.context_length, self.width),
            jnp.float32,
        )
        x = embedding(tokens) + positions[:length].astype(self.dtype)
        x = Transformer(self.depth, self.num_heads, self.dtype, name="transformer")(x)
        x = x[jnp.arange(b), jnp.argmax(tokens, axis=1)]
        x = LayerNorm(epsilon=EPSILON, dtype=self.dtype, name="norm")(x)
        x = Dense(
            self.embedding_dim,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=nn.initializers.normal(self.width**-0.5),
            name="projection",
        )(x)
        return x.astype(jnp.float32)


class Transformer(nn.Module):
    """Blocks in which a token sees those before it.

    Attributes:
        depth: how many.
        num_heads: of each.
        dtype: of the computation.
    """

    depth: int
    num_heads: int
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps tokens [B, T, D] to [B, T, D]."""
        for index in range(self.depth):
            x = Block(
                self.num_heads,
                epsilon=EPSILON,
                activation=quick_gelu,
                is_causal=True,
                dtype=self.dtype,
                name=f"block{index}",
            )(x, False)
        return x
