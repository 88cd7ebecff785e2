"""A decoder whose classes are the vectors of their names (Xian et al. 2019, SPNet)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class WordVectorClassifier(nn.Module):
    """The logit of class c at a pixel is <h, w_c>: no bias, no temperature.

    The vectors w are the parameter `class_vectors` [E, C], so that a checkpoint has
    them; zeros until the method that owns the decoder fills them in, and it sees to it
    that nothing moves them.

    Attributes:
        dtype: of the factors; products are summed in float32.
    """

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
        """Maps features [B, h, w, E] to float32 logits [B, h, w, C]; no queries."""
        del stages, train
        shape = features.shape[-1], num_classes
        vectors = self.param("class_vectors", nn.initializers.zeros, shape, jnp.float32)
        logits = jnp.matmul(
            features.astype(self.dtype),
            vectors.astype(self.dtype),
            preferred_element_type=jnp.float32,
        )
        return logits, None
