"""What SAZS trains: the segmentor, and a classifier of outlines on its features."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.layers import Conv
from jaxseg.models.segmentor import Outputs, Segmentor


class SAZSNetwork(nn.Module):
    """A segmentor and one 1x1 convolution, as in the authors' code.

    Attributes:
        segmentor: with text anchors as its decoder.
        edge_stage: the stage of the backbone whose map is read, as the article draws
            it; None: the features that are compared with texts, as the code does.
        has_edges: whether there is the classifier of outlines.
    """

    segmentor: Segmentor
    edge_stage: int | None = None
    has_edges: bool = True

    def setup(self):
        if self.has_edges:
            self.edges = Conv(1, use_bias=True)

    def __call__(
        self, image: jax.Array, *, train: bool
    ) -> tuple[Outputs, jax.Array | None]:
        """Maps images [B, H, W, 3] to outputs and edge logits [B, h, w] or None."""
        outputs: Any = self.segmentor(image, train=train)
        if not self.has_edges:
            return outputs, None
        is_embedding = self.edge_stage is None
        features = outputs.features if is_embedding else outputs.stages[self.edge_stage]
        return outputs, self.edges(features.astype(jnp.float32))[..., 0]
