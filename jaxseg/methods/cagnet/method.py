"""CaGNet (Gu et al. 2020): a classifier for classes that no picture showed.

Three players learn in one step: the encoder (backbone, head, context) describes each
pixel; the generator makes a pixel's feature from its class's word vector and its
context's code; the critic tells real from generated and knows the classes. Fine-tuning
then trains the critic on features generated of unseen classes.

Read `CaGNet.train_step`, then `seen_step` and `synthesis_step`; `losses.py` has the
terms, `network.py` the networks, `parts.py` what they are asked.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxseg import sharding
from jaxseg.data import word_vectors
from jaxseg.data.labels import IGNORE
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.losses.divergence import standard_normal_divergence
from jaxseg.methods import base
from jaxseg.methods.cagnet import losses, options
from jaxseg.methods.cagnet.label_source import DrawPatches, LabelSource
from jaxseg.methods.cagnet.losses import Content, Weights
from jaxseg.methods.cagnet.network import Maps, Seen, Verdict
from jaxseg.methods.cagnet.parts import Parts
from jaxseg.methods.cagnet.patch_network import PatchNetwork
from jaxseg.methods.cagnet.players import joined, patches_of, players, with_patches
from jaxseg.methods.cagnet.synthesis import Synthesis
from jaxseg.models.generator import Generator, synthesise
from jaxseg.models.heads.context import Context
from jaxseg.ops.pseudo_labels import PseudoLabels, share_labelled
from jaxseg.ops.scales import labels_at, largest, shrink
from jaxseg.state import TrainState


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CaGNet(base.Method):
    """Zero-shot segmentation by generated features; a stage is a choice of options.

    Stages are runs joined by `init_from`: on seen classes (the defaults); "mixed", with
    `synthesis` and without `trains_encoder`; self-training, with `pseudo_labels`.

    Attributes:
        generator: makes features of the head's size.
        critic_optimizer: of classifier and discriminator.
        generator_optimizer: of the generator.
        scales: of the picture in training, the first is 1; also the maximum is learnt
            from.
        weights: of the losses' terms.
        content: the loss between generated and real features.
        gan: a kind of `losses.adversarial`.
        update: "simultaneous": all gradients at the old parameters; "sequential": the
            critic moves first, and the others meet the new one.
        trains_encoder: whether `optimizer` moves the encoder.
        synthesis: the synthesis steps between steps on pictures; None for none.
        pseudo_labels: what the model takes unlabelled pixels for; None: for nothing.
        patch_network: learns patches of seen labels beside, in all stages, for the
            prior "pixelcnn" of `synthesis`; None for other priors.
    """

    generator: Generator = dataclasses.field(default_factory=Generator)
    critic_optimizer: optax.GradientTransformation
    generator_optimizer: optax.GradientTransformation
    scales: tuple[float, ...] = (1.0, 0.5, 0.75)
    weights: Weights = Weights()
    content: Content = Content()
    gan: str = "l1"
    update: str = "simultaneous"
    trains_encoder: bool = True
    synthesis: Synthesis | None = None
    pseudo_labels: PseudoLabels | None = None
    patch_network: PatchNetwork | None = None

    reads_word_vectors: ClassVar[bool] = True

    def __post_init__(self):
        options.check(self)

    @property
    def self_training(self) -> bool:
        return self.pseudo_labels is not None

    @property
    def parts(self) -> Parts:
        """The networks, and what they are asked."""
        return Parts(
            segmentor=self.segmentor, generator=self.generator, labels=self.labels
        )

    @property
    def network(self) -> nn.Module:
        return self.parts.network

    @property
    def class_table(self) -> jax.Array:
        """The word vectors [C, E]."""
        return jnp.asarray(word_vectors.of(self.labels))

    @property
    def label_source(self) -> LabelSource | None:
        """Where synthesised features get their classes from."""
        if self.synthesis is None:
            return None
        return LabelSource(self.synthesis, self.labels)

    def init_memory(self) -> Any:
        source = self.label_source
        return None if source is None else source.init_memory()

    def init(self, rng: jax.Array, batch: base.Batch) -> TrainState:
        params_rng, state_rng = jax.random.split(rng)
        variables = self.network.init(
            params_rng, batch["image"], self.class_table, train=False
        )
        params = variables["params"]
        state = TrainState(
            step=jnp.zeros((), jnp.int32),
            rng=state_rng,
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state={
                name: optimizer.init(players(params)[name])
                for name, optimizer in self.optimizers.items()
            },
            memory=self.init_memory(),
        )
        if self.patch_network is None:
            return state
        patch_rng = jax.random.fold_in(params_rng, 1)
        return with_patches(state, self.patch_network.init(patch_rng, self.class_table))

    @property
    def optimizers(self) -> dict[str, optax.GradientTransformation]:
        """By player; a player that stays as it is has none."""
        trained = {
            "critic": self.critic_optimizer,
            "generator": self.generator_optimizer,
        }
        return trained | ({"encoder": self.optimizer} if self.trains_encoder else {})

    def train_step(
        self, state: TrainState, batch: base.Batch
    ) -> tuple[TrainState, base.Metrics]:
        rng = jax.random.fold_in(state.rng, state.step)
        seen_key, synthesis_key, memory_key, patch_key = jax.random.split(rng, 4)
        state, metrics = self.seen_step(state, batch, seen_key)
        source, label = self.label_source, self.label_of_map(state, batch)
        if self.patch_network is not None:
            state, entropy = self.patch_step(state, label, patch_key)
            metrics = metrics | {"patch_cross_entropy": entropy}
        if source is not None:
            memory = source.remember(state.memory, label, memory_key)
            state = state.replace(memory=memory)
            state = self.synthesis_steps(state, synthesis_key)
            entropy = state.memory.entropy
            metrics = metrics | {"synthesised_cross_entropy": entropy}
        return state.replace(step=state.step + 1), metrics

    def warnings(
        self, step: int, total_steps: int, means: Mapping[str, float]
    ) -> tuple[str, ...]:
        """Also says if no step without pictures will ever be due."""
        found = super().warnings(step, total_steps, means)
        if self.synthesis is None or total_steps >= self.synthesis.interval[0]:
            return found
        return (
            *found,
            f"none of the {total_steps} steps is followed by steps on synthesised "
            "features, so unseen classes are not learnt: lower the first of config."
            f"method.synthesis.interval = {self.synthesis.interval}, or train longer",
        )

    # On pictures.

    def seen_step(
        self, state: TrainState, batch: base.Batch, key: jax.Array
    ) -> tuple[TrainState, base.Metrics]:
        """One update of all players by the labelled pixels of a batch.

        Args:
            state: before the step.
            batch: image [B, H, W, 3], label [B, H, W].
            key: of all draws.
        """
        keys = jax.random.split(key, 5)
        noise_key, generator_key, critic_key, generated_key, content_key = keys
        now = players(state.params)
        encode, labels, told = self.encoder_of(state, batch, noise_key)
        maps, back_to_encoder = self.linearised(encode, now)
        latent = jax.lax.stop_gradient(maps.context.latent)

        def generate(params: Any) -> jax.Array:
            return synthesise(
                self.generator,
                params,
                generator_key,
                self.class_table,
                labels[0],
                latent,
            )

        generated, back_to_generator = jax.vjp(generate, now["generator"])
        seen = Seen(
            maps=maps,
            labels=labels,
            generated=generated,
            critic_key=critic_key,
            generated_key=generated_key,
            content_key=content_key,
            penalty_key=jax.random.fold_in(key, 5),
        )

        of_critic, of_losses = self.critic_gradient(now["critic"], seen)
        after = self.updated(state, {"critic": of_critic})
        met = now if self.update == "simultaneous" else players(after.params)
        of_generated, more = self.generated_gradient(met["critic"], seen)
        of_maps, divergence = self.maps_gradient(met["critic"], seen)

        grads = {"generator": back_to_generator(of_generated)[0]}
        if back_to_encoder is not None:
            grads["encoder"] = back_to_encoder(of_maps)[0]
        metrics = told | of_losses | more
        metrics["loss"] = of_losses["critic_loss"]
        metrics["divergence"] = divergence
        metrics["grad_norm"] = optax.tree.norm({"critic": of_critic, **grads})
        return self.updated(after, grads), metrics

    def critic_gradient(self, critic: Any, seen: Seen) -> tuple[Any, base.Metrics]:
        """Of the critic's loss (L_D) to its parameters."""
        real, label = seen.maps.features[0], seen.labels[0]

        def loss(critic: Any) -> tuple[jax.Array, base.Metrics]:
            judged, classification = self.judge_seen(critic, seen.maps, seen)
            penalty: jax.Array | float = 0.0
            if self.gan == "wgan_gp":
                penalty = self.parts.slope_penalty(
                    critic, real, seen.generated, label, seen.penalty_key
                )
            return losses.critic_loss(
                judged[0],
                self.parts.judge(critic, seen.generated, seen.generated_key),
                classification,
                label,
                weights=self.weights,
                gan=self.gan,
                penalty=penalty,
            )

        return jax.grad(loss, has_aux=True)(critic)

    def generated_gradient(
        self, critic: Any, seen: Seen
    ) -> tuple[jax.Array, base.Metrics]:
        """Of the generator's loss (L_G) to the generated features."""
        real, label = seen.maps.features[0], seen.labels[0]
        num_classes = self.labels.num_classes

        def loss(generated: jax.Array) -> tuple[jax.Array, base.Metrics]:
            return losses.generator_loss(
                self.parts.judge(critic, generated, seen.generated_key),
                self.content(
                    seen.content_key, generated, real, label, num_classes=num_classes
                ),
                label,
                weights=self.weights,
                gan=self.gan,
            )

        return jax.grad(loss, has_aux=True)(seen.generated)

    def maps_gradient(self, critic: Any, seen: Seen) -> tuple[Maps, jax.Array]:
        """Of the encoder's loss (L_B) to its maps, and the divergence in it.

        Where the encoder is not trained nobody asks for the former, and the compiler
        leaves it out.
        """
        is_class = self.parts.is_class(seen.labels[0])

        def loss(maps: Maps) -> tuple[jax.Array, jax.Array]:
            _, classification = self.judge_seen(critic, maps, seen)
            context = maps.context
            divergence = standard_normal_divergence(
                context.mean, context.log_variance, is_class
            )
            total = losses.encoder_loss(
                divergence, classification, weights=self.weights
            )
            return total, divergence

        return jax.grad(loss, has_aux=True)(seen.maps)

    def judge_seen(
        self, critic: Any, maps: Maps, seen: Seen
    ) -> tuple[list[Verdict], jax.Array]:
        """What a critic says of the encoder's maps, and [] their classification."""
        judged = self.parts.judge_all(critic, maps.features, seen.critic_key)
        logits = [verdict.logits for verdict in judged]
        return judged, losses.real_classification(logits, seen.labels)

    def patch_step(
        self, state: TrainState, label: jax.Array, key: jax.Array
    ) -> tuple[TrainState, jax.Array]:
        """One update of the network over patches by seen labels [B, h, w]."""
        assert self.patch_network is not None
        variables, entropy = self.patch_network.step(
            patches_of(state),
            label,
            self.class_table,
            unseen=self.labels.unseen,
            key=key,
        )
        return with_patches(state, variables), entropy

    def encoder_of(
        self, state: TrainState, batch: base.Batch, key: jax.Array
    ) -> tuple[Any, list[jax.Array], base.Metrics]:
        """The maps of a batch as a function of the encoder, the maps' labels, metrics.

        The labels are those of the batch, and in self-training also pseudo labels.
        """
        keys = list(jax.random.split(key, len(self.scales)))

        def encode(encoder: Any) -> Maps:
            contexts = [
                self.parts.describe(
                    state, encoder, shrink(batch["image"], scale), noise_key
                )
                for scale, noise_key in zip(self.scales, keys, strict=True)
            ]
            features = [context.features for context in contexts]
            if len(features) > 1:
                features.append(largest(features))
            return Maps(tuple(features), contexts[0])

        shapes = jax.eval_shape(encode, players(state.params)["encoder"])
        sizes = [x.shape[1:3] for x in shapes.features]
        if self.pseudo_labels is None:
            return encode, [labels_at(batch["label"], size) for size in sizes], {}
        label = labels_at(batch["label"].astype(jnp.int32), sizes[0])
        completed = self.pseudo_labels(
            lambda image: self.parts.logits_of(state, image),
            batch["image"],
            label,
            self.parts.is_unseen,
        )
        share = share_labelled(label, completed, self.labels.num_classes)
        labels = [labels_at(completed, size) for size in sizes]
        return encode, labels, {"pseudo_labelled": share}

    def label_of_map(self, state: TrainState, batch: base.Batch) -> jax.Array:
        """The labels of a batch at the size of the features, [B, h, w], else 255."""
        features = jax.eval_shape(self.describe, state, batch).features
        label = labels_at(batch["label"].astype(jnp.int32), features.shape[1:3])
        return jnp.where(self.parts.is_class(label), label, IGNORE)

    def linearised(self, encode: Any, now: Mapping[str, Any]) -> tuple[Maps, Any]:
        """The maps, and how a gradient goes back through them; None if it need not."""
        if self.trains_encoder:
            return jax.vjp(encode, now["encoder"])
        return encode(now["encoder"]), None

    # Without pictures.

    def synthesis_steps(self, state: TrainState, key: jax.Array) -> TrainState:
        """After every a-th step on pictures, b synthesis steps in one scan."""
        assert self.synthesis is not None
        on_pictures, without = self.synthesis.interval

        def scan(state: TrainState) -> TrainState:
            def step(state: TrainState, key: jax.Array) -> tuple[TrainState, None]:
                return self.synthesis_step(state, key), None

            state, _ = jax.lax.scan(step, state, jax.random.split(key, without))
            return state

        due = (state.step + 1) % on_pictures == 0
        return jax.lax.cond(due, scan, lambda state: state, state)

    def synthesis_step(self, state: TrainState, key: jax.Array) -> TrainState:
        """One update of the critic, and perhaps the generator, by drawn features.

        It has no picture and no label among its arguments: what it knows of unseen
        classes are their word vectors.

        Args:
            state: before the step.
            key: of labels, codes and dropout.
        """
        source, synthesis = self.label_source, self.synthesis
        assert source is not None and synthesis is not None
        label_key, latent_key, feature_key, critic_key = jax.random.split(key, 4)
        label = source.sample(label_key, state.memory, self.patches_from(state))
        classifier: Any = self.segmentor.decoder
        target = classifier.inner(source.targets(label))
        latent = source.latent(latent_key, label, self.generator.features)
        label, target, latent = sharding.split((label, target, latent))
        now = players(state.params)

        def entropy(critic: Any, generator: Any) -> jax.Array:
            features = synthesise(
                self.generator,
                generator,
                feature_key,
                self.class_table,
                label,
                latent,
            )
            verdict = self.parts.judge(critic, features, critic_key, inside=True)
            return cross_entropy(verdict.logits, target)

        moves_generator = synthesis.generator_weight > 0
        moved = (0, 1) if moves_generator else (0,)
        value, grads = jax.value_and_grad(entropy, argnums=moved)(
            now["critic"], now["generator"]
        )
        weights = synthesis.critic_weight, synthesis.generator_weight
        scaled = {
            name: optax.tree.scale(weight, grad)
            for name, weight, grad in zip(
                ("critic", "generator"), weights, grads, strict=False
            )
        }
        state = self.updated(state, scaled)
        return state.replace(memory=state.memory.replace(entropy=value))

    def patches_from(self, state: TrainState) -> DrawPatches | None:
        """How the network over patches draws (key, P) -> [P, k, k], if there is one."""
        if self.patch_network is None:
            return None
        network, variables = self.patch_network, patches_of(state)
        return lambda key, num_patches: network.sample(
            key,
            variables,
            self.class_table,
            unseen=self.labels.unseen,
            num_patches=num_patches,
        )

    def updated(self, state: TrainState, grads: Mapping[str, Any]) -> TrainState:
        """Moves the players that have gradients and an optimiser."""
        now, opt_state = players(state.params), dict(state.opt_state)
        for name, grad in grads.items():
            optimizer = self.optimizers[name]
            updates, opt_state[name] = optimizer.update(
                grad, opt_state[name], now[name]
            )
            now[name] = optax.apply_updates(now[name], updates)
        params = {**state.params, **joined(now)}
        return state.replace(params=params, opt_state=opt_state)

    # For a look at what was learnt.

    def describe(self, state: TrainState, batch: base.Batch) -> Context:
        """The context of a batch's pictures, with the codes' means."""
        encoder = players(state.params)["encoder"]
        return self.parts.describe(state, encoder, batch["image"], None)

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
