"""What PiCo trains: the segmentor, and a projection that prediction does without."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.heads.projection import Projection
from jaxseg.models.layers import join_stages
from jaxseg.models.segmentor import Outputs, Segmentor
from jaxseg.ops.resize import resize_nearest


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


def labels_at(
    labels: jax.Array, grid: tuple[int, int], *, size_divisor: int, ignored: int
) -> jax.Array:
    """The labels of a map's positions, of the same places in the picture.

    Args:
        labels: [B, H, W] class ids.
        grid: h, w of the map.
        size_divisor: of the segmentor, which pads pictures at the bottom and the right
            to multiples of this: the map has positions in the padding, too.
        ignored: the id that these get.

    Returns:
        [B, h, w].
    """
    _, *shape = labels.shape
    padding = [(0, -length % size_divisor) for length in shape]
    labels = jnp.pad(labels, [(0, 0), *padding], constant_values=ignored)
    return resize_nearest(labels, grid)
