"""A decoder whose classes are the vectors of their names (Xian et al. 2019, SPNet)."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

# Where a method's parameters have the vectors [E, C].
CLASS_VECTORS = ("segmentor", "decoder", "class_vectors")


def with_class_vectors(
    params: Mapping[str, Any], vectors: np.ndarray | None
) -> dict[str, Any]:
    """Fills the vectors of the classes into a method's parameters.

    Args:
        params: of a method whose segmentor has a decoder with `class_vectors`.
        vectors: float [C, E]; None leaves the zeros, as where nothing but a checkpoint
            is at hand, which has them.

    Returns:
        The parameters, with them.

    Raises:
        ValueError: if they are of another size than the head's features.
    """
    if vectors is None:
        return dict(params)
    flat = traverse_util.flatten_dict(dict(params))
    size, _ = flat[CLASS_VECTORS].shape
    if vectors.shape[1] != size:
        raise ValueError(
            f"config.word_vectors gives vectors of {vectors.shape[1]} numbers, and "
            f"config.model.head makes {size} features of a pixel: set its "
            f"features={vectors.shape[1]}"
        )
    flat[CLASS_VECTORS] = jnp.asarray(vectors.T, jnp.float32)
    return traverse_util.unflatten_dict(flat)


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
