"""MaskFormer (Cheng et al. 2021): a picture as a set of masks, each with one class.

`PixelDecoder` is the head: it makes the features that masks are drawn on.
`MaskFormerDecoder` is the decoder: each of its queries says what class it is for and
which pixels are its own; summed up, they are the class map (`class_map`).
"""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.models.heads.query_transformer import QueryTransformer
from jaxseg.models.layers import Conv, symmetric_padding
from jaxseg.models.transformer import Dense
from jaxseg.ops.resize import resize_bilinear, resize_nearest

# The authors': convolutions keep the variance, the last linear maps have PyTorch's.
CONV_INIT = nn.initializers.lecun_uniform()
LINEAR_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class PixelDecoder(nn.Module):
    """A feature pyramid from the deepest stage to the finest, for masks to be drawn on.

    Attributes:
        features: channels of the pyramid.
        mask_features: D, channels of the result.
        num_groups: of the group normalisations.
        remat: whether the backward pass computes the levels again, to save memory.
        dtype: of the computation.
    """

    features: int = 256
    mask_features: int = 256
    num_groups: int = 32
    remat: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages [B, h, w, D'] to features [B, h, w, D] of the first's size."""
        del train  # group normalisation is the same
        x = self._level(len(stages) - 1)(stages[-1], None)
        for index in reversed(range(len(stages) - 1)):
            x = self._level(index)(stages[index], x)
        return Conv(
            self.mask_features,
            3,
            padding=symmetric_padding(3),
            use_bias=True,
            dtype=self.dtype,
            kernel_init=CONV_INIT,
            name="mask_features",
        )(x)

    def _level(self, index: int) -> "PyramidLevel":
        level_class = nn.remat(PyramidLevel) if self.remat else PyramidLevel
        return level_class(
            self.features, self.num_groups, dtype=self.dtype, name=f"level_{index}"
        )


class PyramidLevel(nn.Module):
    """The enlarged level below plus this stage's projection, then a 3x3 convolution.

    The deepest level has nothing below it, and no projection.

    Attributes:
        features: channels.
        num_groups: of the normalisations.
        dtype: of the computation.
    """

    features: int
    num_groups: int
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stage: jax.Array, below: jax.Array | None) -> jax.Array:
        """Maps a stage [B, h, w, D'] and a coarser level to [B, h, w, features]."""
        x = stage
        if below is not None:
            _, h, w, _ = stage.shape
            x = self._conv_norm(1, "adapter")(stage) + resize_nearest(below, (h, w))
        return nn.relu(self._conv_norm(3, "layer")(x))

    def _conv_norm(self, kernel_size: int, name: str) -> "ConvGroupNorm":
        return ConvGroupNorm(
            self.features, kernel_size, self.num_groups, dtype=self.dtype, name=name
        )


class ConvGroupNorm(nn.Module):
    """Convolution without bias and group normalisation (Wu and He 2018).

    Attributes:
        features: channels of the result.
        kernel_size: side of the square window.
        num_groups: into how many groups the channels are split.
        dtype: of the computation.
    """

    features: int
    kernel_size: int
    num_groups: int
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, h, w, D'] to [B, h, w, features]."""
        x = Conv(
            self.features,
            self.kernel_size,
            padding=symmetric_padding(self.kernel_size),
            dtype=self.dtype,
            kernel_init=CONV_INIT,
            name="conv",
        )(x)
        return nn.GroupNorm(
            self.num_groups,
            epsilon=1e-5,
            # E[x^2] - E[x]^2 cancels where the mean is large.
            use_fast_variance=False,
            dtype=self.dtype,
            name="norm",
        )(x)


@flax.struct.dataclass
class Queries:
    """What Q queries say after each of L layers; the last is the result.

    Attributes:
        class_logits: [L, B, Q, C + 1] float32; the last entry is "no object".
        mask_logits: [L, B, Q, h, w] float32, of a pixel being the query's.
    """

    class_logits: jax.Array
    mask_logits: jax.Array


class MaskFormerDecoder(nn.Module):
    """Class maps by queries, in place of a segmentor's classifier.

    In training there are queries after every layer, so that a loss can supervise them
    all; evaluation computes those of the last layer only: L = 1.

    Attributes:
        num_queries: Q, as many masks as a picture can have.
        width: channels of the transformer.
        depth: its layers.
        num_heads: of its attentions.
        hidden: channels between the two linear maps of a layer.
        dropout: rate in training; needs a key in the rng collection `dropout`.
        remat: whether the backward pass computes the layers again, to save memory.
        dtype: of the computation; queries and class maps are float32.
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
    def __call__(
        self,
        features: jax.Array,
        stages: tuple[jax.Array, ...],
        num_classes: int,
        *,
        train: bool,
    ) -> tuple[jax.Array, Queries]:
        """Draws the queries' masks.

        Args:
            features: [B, h, w, D] of `PixelDecoder`.
            stages: of the backbone; the queries read the last.
            num_classes: C.
            train: whether dropout is on, and the queries of all layers are wanted.

        Returns:
            The class map [B, h, w, C] of the last layer, and the queries.
        """
        x = QueryTransformer(
            num_queries=self.num_queries,
            width=self.width,
            depth=self.depth,
            num_heads=self.num_heads,
            hidden=self.hidden,
            dropout=self.dropout,
            remat=self.remat,
            dtype=self.dtype,
            name="transformer",
        )(stages[-1], train=train)
        x = x if train else x[-1:]  # [L, B, Q, width]
        classes = self._linear(num_classes + 1, "class_embed")(x)
        x = nn.relu(self._linear(self.width, "mask_embed_0")(x))
        x = nn.relu(self._linear(self.width, "mask_embed_1")(x))
        x = self._linear(features.shape[-1], "mask_embed_2")(x)
        masks = jnp.einsum(
            "lbqd,bhwd->lbqhw", x, features, preferred_element_type=jnp.float32
        )
        queries = Queries(classes.astype(jnp.float32), masks)
        _, h, w, _ = features.shape
        return self.enlarge(queries, (h, w)), queries

    def _linear(self, features: int, name: str) -> Dense:
        return Dense(features, kernel_init=LINEAR_INIT, dtype=self.dtype, name=name)

    def enlarge(self, queries: Queries, shape: tuple[int, int]) -> jax.Array:
        """The class map [B, H, W, C] of the last layer, at the size (H, W)."""
        return class_map(queries.class_logits[-1], queries.mask_logits[-1], shape)


def class_map(
    class_logits: jax.Array, mask_logits: jax.Array, shape: tuple[int, int]
) -> jax.Array:
    """How much each class is said to be at each pixel (eq. 2 without the argmax).

        sum_q softmax(class_logits)_qc sigmoid(mask_logits)_q

    over all queries, "no object" left out. The masks are enlarged before the sigmoid.

    Args:
        class_logits: [B, Q, C + 1], "no object" last.
        mask_logits: [B, Q, h, w].
        shape: (H, W) of the result.

    Returns:
        [B, H, W, C] between 0 and Q; the largest is the class, but no softmax of it is
        a probability.
    """
    probabilities = jax.nn.softmax(class_logits, axis=-1)[..., :-1]
    masks = jnp.moveaxis(mask_logits, 1, -1)  # [B, h, w, Q]
    masks = jax.nn.sigmoid(resize_bilinear(masks, shape, align_corners=False))
    return jnp.einsum(
        "bhwq,bqc->bhwc", masks, probabilities, precision=lax.Precision.HIGHEST
    )
