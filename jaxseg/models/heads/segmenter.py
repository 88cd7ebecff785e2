"""Segmenter's mask transformer (Strudel et al. 2021): classes as tokens among patches.

Its other, linear decoder is the Segmentor's classifier on the identity head.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.transformer import DENSE_INIT, Block, Dense, LayerNorm


class MaskTransformer(nn.Module):
    """A `decoder`: how near each patch is to each class's token, after attention.

        patches, classes = norm(blocks([embed(features), class tokens]))
        logits = norm(unit(patches P) . unit(classes Q)), over the classes

    Attributes:
        width: D' of the blocks; the authors keep the backbone's D.
        depth: number of blocks.
        num_heads: of the attention: D' / 64.
        mlp_ratio: hidden channels of the MLPs as a multiple of D'.
        drop_path: rate of the last block; the rates grow linearly from 0.
        dropout: rate in training, within the blocks.
        epsilon: of the normalisations.
        dtype: of the computation, scores and their normalisation excepted.
    """

    width: int = 384
    depth: int = 2
    num_heads: int = 6
    mlp_ratio: float = 4.0
    drop_path: float = 0.0
    dropout: float = 0.1
    epsilon: float = 1e-5
    dtype: Any = "float32"

    @nn.compact
    def __call__(
        self,
        features: jax.Array,
        stages: tuple[jax.Array, ...],
        num_classes: int,
        *,
        train: bool,
    ) -> tuple[jax.Array, None]:
        """Maps features [B, h, w, D] to logits [B, h, w, C]; there are no queries."""
        b, h, w, _ = features.shape
        patches = Dense(self.width, dtype=self.dtype, name="embed")(features)
        classes = self.param(
            "class_embedding", DENSE_INIT, (1, num_classes, self.width), jnp.float32
        )
        classes = jnp.broadcast_to(classes, (b, num_classes, self.width))
        x = jnp.concatenate(
            [patches.reshape(b, h * w, self.width), classes.astype(patches.dtype)],
            axis=1,
        )
        x = self._transform(x, train)
        patches, classes = jnp.split(x, [h * w], axis=1)
        scores = jnp.einsum(
            "bnd,bcd->bnc",
            _unit(patches @ self._projection("patch_projection")),
            _unit(classes @ self._projection("class_projection")),
        )
        logits = LayerNorm(epsilon=self.epsilon, name="mask_norm")(scores)
        return logits.reshape(b, h, w, num_classes), None

    def _transform(self, x: jax.Array, train: bool) -> jax.Array:
        for index in range(self.depth):
            x = Block(
                self.num_heads,
                self.mlp_ratio,
                drop_path=self.drop_path * index / max(self.depth - 1, 1),
                dropout=self.dropout,
                epsilon=self.epsilon,
                dtype=self.dtype,
                name=f"blocks_{index}",
            )(x, train)
        return LayerNorm(epsilon=self.epsilon, dtype=self.dtype, name="norm")(x)

    def _projection(self, name: str) -> jax.Array:
        """A matrix [D', D']."""
        init = nn.initializers.normal(self.width**-0.5)
        matrix = self.param(name, init, (self.width, self.width), jnp.float32)
        return matrix.astype(self.dtype)


def _unit(x: jax.Array) -> jax.Array:
    """Float32 vectors [..., D] of length 1; zeros stay zeros, with finite gradients."""
    x = x.astype(jnp.float32)
    squares = jnp.sum(x**2, axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(squares, 1e-24))
