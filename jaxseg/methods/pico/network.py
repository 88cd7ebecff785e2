"""What PiCo trains: the segmentor, and a projection that prediction does without."""

import flax.linen as nn
import jax

from jaxseg.models.heads.projection import Projection
from jaxseg.models.layers import join_stages
from jaxseg.models.segmentor import Outputs, Segmentor


class PiCoNetwork(nn.Module):
    """A segmentor and a projection of one of its maps to unit vectors.

    Attributes:
        segmentor: predicts.
        projection: embeds.
        stages: the backbone's stages that are projected, joined at the first one's
            size; () for the head's features, which the classifier reads.
    """

    segmentor: Segmentor
    projection: Projection
    stages: tuple[int, ...] = (-1,)

    def __call__(self, image: jax.Array, *, train: bool) -> tuple[Outputs, jax.Array]:
        """Maps images [B, H, W, 3] to outputs and embeddings [B, h, w, D] float32."""
        outputs = self.segmentor(image, train=train)
        if self.stages:
            x = join_stages(outputs.stages, self.stages)
        else:
            x = outputs.features
        return outputs, self.projection(x, train=train)
