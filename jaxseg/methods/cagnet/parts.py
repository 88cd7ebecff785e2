"""What CaGNet's networks are asked: for contexts, verdicts, logits, features.

`method.CaGNet` trains them.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg.data import word_vectors
from jaxseg.losses import adversarial
from jaxseg.methods import base
from jaxseg.methods.cagnet.network import CaGNetNetwork, Discriminator, Verdict
from jaxseg.methods.cagnet.players import players
from jaxseg.models.generator import Generator, synthesise
from jaxseg.models.heads.context import Context
from jaxseg.state import TrainState


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Parts(base.Method):
    """The networks of a CaGNet, with parameters given or those of a state.

    Attributes:
        generator: makes features of the head's size.
    """

    generator: Generator = dataclasses.field(default_factory=Generator)

    @property
    def network(self) -> CaGNetNetwork:
        return CaGNetNetwork(self.segmentor, self.generator, Discriminator())

    @property
    def class_table(self) -> jax.Array:
        """The word vectors [C, E]."""
        return jnp.asarray(word_vectors.of(self.labels))

    def describe_image(
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

    def describe(self, state: TrainState, batch: base.Batch) -> Context:
        """The context of a batch's pictures, with the codes' means."""
        encoder = players(state.params)["encoder"]
        return self.describe_image(state, encoder, batch["image"], None)

    def synthesise(
        self,
        state: TrainState,
        key: jax.Array,
        class_ids: jax.Array,
        latent: jax.Array | None = None,
    ) -> jax.Array:
        """Features [..., D] of class ids [...], without dropout."""
        return synthesise(
            self.generator,
            state.params["generator"],
            key,
            self.class_table,
            class_ids,
            latent,
            train=False,
        )
