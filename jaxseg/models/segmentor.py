"""The network that every method trains: backbone, head, classifier."""

import dataclasses
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
        features: [B, h, w, D] the head's output, which the classifier reads, before the
            segmentor's dropout.
        stages: [B, h, w, D] maps of the backbone, shallow to deep.
        coarse: [B, h, w, C] float32, the logits before their enlargement.
        auxiliary: [B, H, W, C] float32, the auxiliary head's logits; None at
            evaluation, and where there is no such head.
        queries: what a decoder predicts beside the class map and its own loss reads;
            None for most.
    """

    logits: jax.Array
    features: jax.Array
    stages: tuple[jax.Array, ...]
    coarse: jax.Array
    auxiliary: jax.Array | None
    queries: Any = None


class Segmentor(nn.Module):
    """Backbone -> head -> 1x1 classifier -> bilinear enlargement.

    Parameters and batch statistics have the entries `backbone`, `head`, `classifier`
    (or `decoder`), and with an auxiliary head also `auxiliary` and
    `auxiliary_classifier`. A head without parameters has no entry.

    Attributes:
        backbone: maps normalised images to a tuple of stages.
        head: maps the stages to features.
        num_classes: C.
        decoder: maps features to class maps in place of the 1x1 classifier, as
            Segmenter's mask transformer: `(features, stages, num_classes, train=...)`
            gives [B, h, w, C] and its queries or None. One with queries enlarges them
            itself: `enlarge(queries, (H, W))` gives the logits.
        auxiliary: a second head, which shows an earlier stage the labels in training
            (Zhao et al. 2017); evaluation computes nothing of it, unless the head
            `reads_classes`: then it is given the auxiliary logits [B, h, w, C].
        dropout: share of the features' channels that training blanks for the classifier
            or decoder, each over a whole picture; needs a key in the rng collection
            `dropout`. Who else reads the features sees them all.
        align_corners: whether the enlargement keeps corner pixels in the corners.
        size_divisor: the backbone pads images to multiples of this, as Segmenter's
            does: the logits are enlarged to that size, and the padding is cut off.
        classifier_bias: whether the classifiers have a bias.
        channel_order: "rgb", or "bgr" for weights trained on pictures that OpenCV read:
            the channels are turned round first.
        mean: of the pixels' channels in that order, in units of 0..255. PiCo's authors
            have HRNet's order "bgr" and the usual mean and std of "rgb".
        std: their standard deviations, in the same order and units.
        dtype: of the computation; parameters, statistics and logits are float32.
    """

    backbone: nn.Module
    head: nn.Module
    num_classes: int
    decoder: nn.Module | None = None
    auxiliary: nn.Module | None = None
    dropout: float = 0.0
    align_corners: bool = False
    size_divisor: int = 1
    classifier_bias: bool = True
    channel_order: str = "rgb"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    dtype: Any = "float32"

    def setup(self):
        self.drop = nn.Dropout(self.dropout, broadcast_dims=(1, 2))
        if self.decoder is None:
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
        classes = self._auxiliary_logits(stages, train)
        if self._reads_classes:
            features = self.head(stages, classes, train=train)
        else:
            features = self.head(stages, train=train)
        read = self.drop(features, deterministic=not train)
        if self.decoder is None:
            coarse, queries = self.classify(read), None
        else:
            coarse, queries = self.decoder(read, stages, self.num_classes, train=train)
            coarse = coarse.astype(jnp.float32)
        if self.decoder is None or queries is None:
            logits = self.enlarge(coarse, (height, width))
        else:
            logits = self.decoder.enlarge(queries, (height, width))
        auxiliary = None
        if classes is not None and train:
            auxiliary = self.enlarge(classes.astype(jnp.float32), (height, width))
        return Outputs(
            logits=logits,
            features=features,
            stages=stages,
            coarse=coarse,
            auxiliary=auxiliary,
            queries=queries,
        )

    @property
    def _reads_classes(self) -> bool:
        return getattr(self.head, "reads_classes", False)

    def _auxiliary_logits(
        self, stages: tuple[jax.Array, ...], train: bool
    ) -> jax.Array | None:
        """What the auxiliary head says, [B, h, w, C], where anything needs it."""
        if self.auxiliary is None:
            if self._reads_classes:
                raise ValueError(
                    f"{type(self.head).__name__} reads the auxiliary head's classes, "
                    "and there is no auxiliary head: give one"
                )
            return None
        # Its parameters must exist after an initialisation in evaluation mode, too.
        if not (train or self._reads_classes or self.is_initializing()):
            return None
        return self.auxiliary_classifier(self.auxiliary(stages, train=train))

    def enlarge(self, logits: jax.Array, shape: tuple[int, int]) -> jax.Array:
        """Class maps [B, h, w, C] at the size (H, W) of images, as `__call__` does."""
        height, width = shape
        divisor = self.size_divisor
        padded = (height + -height % divisor, width + -width % divisor)
        logits = resize_bilinear(logits, padded, align_corners=self.align_corners)
        return logits[:, :height, :width]

    def unenlarged(self) -> "Segmentor":
        """The same network, whose logits stay at the size of its map.

        Raises:
            ValueError: if they are no enlarged map, or the map is one of padding, too.
        """
        if hasattr(self.decoder, "enlarge") or self.size_divisor != 1:
            raise ValueError(
                "a decoder that enlarges by itself and a size_divisor leave no map of "
                "the picture's classes to compare at: compare_at='picture'"
            )
        fields = [f.name for f in dataclasses.fields(self) if f.init]
        given = {name: getattr(self, name) for name in fields}
        return _Unenlarged(**given | {"parent": None})

    def stages(self, image: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """The backbone's maps of raw RGB images [B, H, W, 3], shallow to deep."""
        return self.backbone(self.normalise(image), train=train)

    def keys(self, image: jax.Array) -> jax.Array:
        """Keys [B, h, w, D] of a `ViT`'s last attention, of raw RGB images."""
        return self.backbone.keys(self.normalise(image))

    def normalise(self, image: jax.Array) -> jax.Array:
        """What the backbone is shown of raw RGB images [B, H, W, 3]."""
        image = in_order(image, self.channel_order)
        mean = jnp.asarray(self.mean, jnp.float32)
        std = jnp.asarray(self.std, jnp.float32)
        normalised = (image.astype(jnp.float32) - mean) / std
        return normalised.astype(self.dtype)

    def classify(self, features: jax.Array) -> jax.Array:
        """Float32 logits [B, h, w, C] of features [B, h, w, D], generated ones too."""
        return self.classifier(features).astype(jnp.float32)


class _Unenlarged(Segmentor):
    """Has the parameters of a `Segmentor`, and other logits."""

    def enlarge(self, logits: jax.Array, shape: tuple[int, int]) -> jax.Array:
        del shape
        return logits


def in_order(colours: Any, channel_order: str) -> Any:
    """Turns RGB colours [..., 3] into the order that a segmentor reads, or back.

    Raises:
        ValueError: if the order is neither "rgb" nor "bgr".
    """
    if channel_order not in ("rgb", "bgr"):
        raise ValueError(f"channel_order is {channel_order!r}; use 'rgb' or 'bgr'")
    return colours if channel_order == "rgb" else colours[..., ::-1]
