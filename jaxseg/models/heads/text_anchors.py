"""A decoder whose classes are points of a text encoder's space: SAZS, LSeg.

Liu et al., "Delving into Shape-aware Zero-shot Semantic Segmentation", CVPR 2023; Li et
al., "Language-driven Semantic Segmentation", ICLR 2022. Read `text_logits` first.
"""

import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.ops.lengths import unit_length

Similarity = Literal["cosine", "dot"]
SCALE = 1 / 0.07  # of CLIP at its start, which LSeg keeps
LEAST_LENGTH = 1e-6  # of a feature vector; shorter ones count for less
SCALES = (1.0, 100.0)  # what a learnt scale may be, as CLIP limits its own


def text_logits(
    features: jax.Array,
    anchors: jax.Array,
    *,
    similarity: Similarity = "cosine",
    scale: float | jax.Array = SCALE,
) -> jax.Array:
    """Compares pixels with texts: s <f, t>, of unit vectors where it is the cosine.

    SAZS's article has the cosine and gives no scale; the authors' code has the plain
    product and no scale either, so that its logits depend on the lengths of both.

    Args:
        features: [..., D], any float type.
        anchors: [E, D], a text each.
        similarity: "cosine" or "dot".
        scale: s. Cosines of different class names are 0.8, so that without one logits
            differ by hundredths.

    Returns:
        [..., E] float32. A feature vector of zeros has logits and gradients of 0.

    Raises:
        ValueError: if D differs, or there is no such similarity.
    """
    if similarity not in ("cosine", "dot"):
        raise ValueError(f"similarity is 'cosine' or 'dot', got {similarity!r}")
    if features.shape[-1] != anchors.shape[-1]:
        raise ValueError(
            f"features of {features.shape[-1]} channels cannot be compared with texts "
            f"of {anchors.shape[-1]} numbers: set the head's features to that"
        )
    if similarity == "cosine":
        features = unit_length(features.astype(jnp.float32), least=LEAST_LENGTH)
        anchors = unit_length(anchors)
    products = jnp.einsum(
        "...d,ed->...e", features, anchors, preferred_element_type=jnp.float32
    )
    return scale * products


class TextAnchors(nn.Module):
    """The logit of class c at a pixel is its similarity to the text of c's name.

    The texts are the parameter `class_vectors` [E, C], so that a checkpoint has them;
    zeros until the method that owns the decoder fills them in, and it sees to it that
    nothing moves them.

    Attributes:
        similarity: "cosine" or "dot"; see `text_logits`.
        scale: s, the start of it if it is learnt.
        learn_scale: whether s is a parameter, kept within `SCALES`.
        center_text: takes the texts' mean off each of them first, which tells apart
            names that are all alike (not in the article).
        dtype: not of the similarities, which are float32.
    """

    similarity: Similarity = "cosine"
    scale: float = SCALE
    learn_scale: bool = False
    center_text: bool = False
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
        anchors = vectors.T
        if self.center_text:
            anchors = anchors - jnp.mean(anchors, axis=0)
        logits = text_logits(
            features, anchors, similarity=self.similarity, scale=self._scale()
        )
        return logits, None

    def _scale(self) -> float | jax.Array:
        if not self.learn_scale:
            return self.scale
        start = nn.initializers.constant(jnp.log(self.scale))
        logarithm = self.param("log_scale", start, (), jnp.float32)
        limited = jnp.clip(logarithm, *map(math.log, SCALES))
        # The slope is that of the parameter itself: else it could not come back.
        return jnp.exp(logarithm + jax.lax.stop_gradient(limited - logarithm))
