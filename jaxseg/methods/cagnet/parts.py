"""What CaGNet's networks are asked: for contexts, verdicts, logits."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg.data.labels import LabelSet
from jaxseg.losses import adversarial
from jaxseg.methods.cagnet.network import CaGNetNetwork, Discriminator, Verdict
from jaxseg.models.generator import Generator
from jaxseg.models.heads.context import Context
from jaxseg.models.segmentor import Segmentor
from jaxseg.state import TrainState


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Parts:
    """The networks of a run, without their parameters.

    Attributes:
        segmentor: with a contextual module and a classifier with a hidden layer.
        generator: makes features of the head's size.
        labels: of the classifier.
    """

    segmentor: Segmentor
    generator: Generator
    labels: LabelSet

    @property
    def network(self) -> CaGNetNetwork:
        """All in one module."""
        return CaGNetNetwork(self.segmentor, self.generator, Discriminator())

    def describe(
        self, state: TrainState, encoder: Any, image: jax.Array, key: jax.Array | None
    ) -> Context:
        """The context of pictures [B, H, W, 3], its codes drawn if there is a key."""

        def encode(image: jax.Array, noise: jax.Array | None) -> Context:
            variables = {
                "params": {"segmentor": encoder},
                "batch_stats": state.batch_stats,
            }
            context: Any = self.network.apply(
                variables, image, noise, method=CaGNetNetwork.encode
            )
            return context

        if key is None:
            return encode(image, None)
        shape = jax.eval_shape(lambda image: encode(image, None), image).latent.shape
        return encode(image, jax.random.normal(key, shape))

    def judge(
        self, critic: Any, features: jax.Array, key: jax.Array, *, inside: bool = False
    ) -> Verdict:
        """What a critic says of features [B, h, w, D], with its dropout."""
        params = {
            "segmentor": {"decoder": critic["decoder"]},
            "discriminator": critic["discriminator"],
        }
        verdict: Any = self.network.apply(
            {"params": params},
            features,
            train=True,
            inside=inside,
            method=CaGNetNetwork.judge,
            rngs={"dropout": key},
        )
        return verdict

    def judge_all(
        self, critic: Any, maps: Sequence[jax.Array], key: jax.Array
    ) -> list[Verdict]:
        """What a critic says of each map of features, each with dropout of its own."""
        keys = jax.random.split(key, len(maps))
        return [
            self.judge(critic, features, own)
            for features, own in zip(maps, keys, strict=True)
        ]

    def slope_penalty(
        self,
        critic: Any,
        real: jax.Array,
        generated: jax.Array,
        label: jax.Array,
        key: jax.Array,
    ) -> jax.Array:
        """`adversarial.gradient_penalty` of a critic, one share a picture, [].

        Args:
            critic: its parameters.
            real: [B, h, w, D].
            generated: [B, h, w, D], for the same labels.
            label: [B, h, w].
            key: of the shares and the critic's dropout.
        """
        share_key, dropout_key = jax.random.split(key)
        share = jax.random.uniform(share_key, (len(real), 1, 1, 1))
        return adversarial.gradient_penalty(
            lambda features: self.judge(critic, features, dropout_key).real,
            share * real + (1 - share) * generated,
            self.is_class(label),
        )

    def logits_of(self, state: TrainState, image: jax.Array) -> jax.Array:
        """The logits of the present state before their enlargement, [B, h, w, C]."""
        variables = {
            "params": state.params["segmentor"],
            "batch_stats": state.batch_stats.get("segmentor", {}),
        }
        outputs: Any = self.segmentor.apply(variables, image, train=False)
        return outputs.coarse

    @property
    def is_unseen(self) -> jax.Array:
        """Which classes are unseen, [C] bool."""
        ids = jnp.zeros(self.labels.num_classes, bool)
        return ids.at[jnp.asarray(self.labels.unseen, jnp.int32)].set(True)

    def is_class(self, label: jax.Array) -> jax.Array:
        """Which labels are of a class."""
        return (label >= 0) & (label < self.labels.num_classes)
