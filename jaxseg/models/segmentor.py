"""The network that every method trains: backbone, head, classifier."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from jaxseg.models.layers import Conv
from jaxseg.ops.resize import resize_bilinear


@flax.struct.dataclass
class Outputs:
    """What a segmentor says about a batch.

    Attributes:
        logits: [B, H, W, C] float32, at the size of the images.
        features: [B, h, w, D] the head's output, which the classifier reads.
        stages: [B, h, w, D] maps of the backbone, shallow to deep.
        coarse: [B, h, w, C] float32, the logits before their enlargement.
        auxiliary: [B, H, W, C] float32, the auxiliary head's logits; None at
            evaluation, and where there is no such head.
    """

    logits: jax.Array
    features: jax.Array
    stages: tuple[jax.Array, ...]
    coarse: jax.Array
    auxiliary: jax.Array | None


class Segmentor(nn.Module):
    """Backbone -> head -> 1x1 classifier -> bilinear enlargement.

    Parameters and batch statistics have the entries `backbone`, `head`, `classifier`,
    and with an auxiliary head also `auxiliary` and `auxiliary_classifier`.

    Attributes:
        backbone: maps normalised images to a tuple of stages.
        head: maps the stages to features.
        num_classes: C.
        auxiliary: a second head, which shows an earlier stage the labels in training
            (Zhao et al. 2017); evaluation computes nothing of it.
        align_corners: whether the enlargement keeps corner pixels in the corners.
        classifier_bias: whether the classifiers have a bias.
        mean: of the pixels' red, green and blue, in units of 0..255.
        std: their standard deviations, in the same units.
        dtype: of the computation; parameters, statistics and logits are float32.
    """

    backbone: nn.Module
    head: nn.Module
    num_classes: int
    auxiliary: nn.Module | None = None
    align_corners: bool = False
    classifier_bias: bool = True
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    dtype: Any = "float32"

    def setup(self):
        self.classifier = self._classifier()
        if self.auxiliary is not None:
            self.auxiliary_classifier = self._classifier()

    def _classifier(self) -> Conv:
        return Conv(
            self.num_classes,
            use_bias=self.classifier_bias,
            dtype=self.dtype,
            kernel_init=nn.initializers.normal(0.01),
        )

    def __call__(self, image: jax.Array, *, train: bool) -> Outputs:
        """Segments raw images.

        Args:
            image: [B, H, W, 3] RGB, uint8 or float, 0..255.
            train: whether normalisations use (and record) the batch's statistics.

        Returns:
            Logits at the images' size and before, features and stages.
        """
        _, height, width, _ = image.shape
        stages = self.stages(image, train=train)
        features = self.head(stages, train=train)
        coarse = self.classify(features)
        auxiliary = None
        # Its parameters must exist after an initialisation in evaluation mode, too.
        if self.auxiliary is not None and (train or self.is_initializing()):
            auxiliary = self.auxiliary_classifier(self.auxiliary(stages, train=train))
            auxiliary = self._enlarge(auxiliary.astype(jnp.float32), (height, width))
        return Outputs(
            logits=self._enlarge(coarse, (height, width)),
            features=features,
            stages=stages,
            coarse=coarse,
            auxiliary=auxiliary,
        )

    def _enlarge(self, logits: jax.Array, shape: tuple[int, int]) -> jax.Array:
        return resize_bilinear(logits, shape, align_corners=self.align_corners)

    def stages(self, image: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """The backbone's maps of raw images [B, H, W, 3], shallow to deep."""
        mean = jnp.asarray(self.mean, jnp.float32)
        std = jnp.asarray(self.std, jnp.float32)
        normalised = (image.astype(jnp.float32) - mean) / std
        return self.backbone(normalised.astype(self.dtype), train=train)

    def classify(self, features: jax.Array) -> jax.Array:
        """Float32 logits [B, h, w, C] of features [B, h, w, D], generated ones too."""
        return self.classifier(features).astype(jnp.float32)
