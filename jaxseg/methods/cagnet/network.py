"""What CaGNet trains: the segmentor, a generator of its features, a discriminator."""

from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from jaxseg.models.generator import KERNEL_INIT, Generator
from jaxseg.models.heads.context import Context
from jaxseg.models.segmentor import Segmentor


@flax.struct.dataclass
class Verdict:
    """What the discriminator and the classifier say of features.

    Attributes:
        real: [B, h, w] the probability that the features come from a picture.
        logits: [B, h, w, C] of the classes.
    """

    real: jax.Array
    logits: jax.Array


class Maps(NamedTuple):
    """What the encoder makes of a batch.

    Attributes:
        features: [B, h, w, D] of each scale, and their maximum.
        context: of the full size.
    """

    features: tuple[jax.Array, ...]
    context: Context


class Seen(NamedTuple):
    """What the players meet in a step on pictures.

    Attributes:
        maps: of the encoder.
        labels: [B, h, w] of each map of features.
        generated: [B, h, w, D] for the labels of the first.
        critic_key: of the critic's dropout on real features.
        generated_key: of its dropout on generated ones.
        content_key: of the pixels that are compared.
        penalty_key: of `Parts.slope_penalty`.
    """

    maps: Maps
    labels: list[jax.Array]
    generated: jax.Array
    critic_key: jax.Array
    generated_key: jax.Array
    content_key: jax.Array
    penalty_key: jax.Array


class Discriminator(nn.Module):
    """The probability of "real", from the hidden layer that the classes share."""

    @nn.compact
    def __call__(self, hidden: jax.Array) -> jax.Array:
        """Maps [B, h, w, D] to [B, h, w] float32."""
        scores = nn.Dense(1, kernel_init=KERNEL_INIT, name="score")(hidden)
        return nn.sigmoid(scores[..., 0].astype(jnp.float32))


class CaGNetNetwork(nn.Module):
    """Segmentor, generator and discriminator; prediction reads the first alone.

    Attributes:
        segmentor: with a `ContextHead` and a `FeatureClassifier`.
        generator: makes features of the segmentor's head.
        discriminator: reads the classifier's hidden layer.
    """

    segmentor: Segmentor
    generator: Generator
    discriminator: Discriminator

    def __call__(self, image: jax.Array, class_table: jax.Array, *, train: bool) -> Any:
        """Runs all parts once, so that all have parameters."""
        context = self.encode(image, None)
        self.segmentor(image, train=train)
        ids = jnp.zeros(context.latent.shape[:-1], jnp.int32)
        generated = self.generator(class_table, ids, context.latent, train=train)
        if generated.shape != context.features.shape:
            raise ValueError(
                f"the generator makes features of {generated.shape[-1]} channels and "
                f"the segmentor's head of {context.features.shape[-1]}: set "
                "config.method.generator.features to the head's features"
            )
        return self.judge(generated, train=train)

    def encode(self, image: jax.Array, noise: jax.Array | None) -> Context:
        """The features of pictures [B, H, W, 3], normalised by running statistics."""
        stages = self.segmentor.stages(image, train=False)
        return self.segmentor.head.describe(stages, noise, train=False)

    def judge(
        self, features: jax.Array, *, train: bool, inside: bool = False
    ) -> Verdict:
        """What discriminator and classifier say of features [B, h, w, D].

        With `inside`, of the classes only where their window lies within the map.
        """
        classifier: Any = self.segmentor.decoder
        hidden = classifier.trunk(features, train=train)
        num_classes = self.segmentor.num_classes
        logits = classifier.classes(hidden, num_classes, inside=inside)
        return Verdict(self.discriminator(hidden), logits)
