"""ZS3Net: a classifier for classes without pictures, by features made of their words.

Bucher et al., "Zero-Shot Semantic Segmentation" (NeurIPS 2019). Three stages, each a
run: the segmentor learns the seen classes; a generator learns to make its features
from word vectors while the classifier learns from real and generated ones; ZS5Net
trains on with labels of its own. Read `ZS3Net.train_step` first, then `layout` (which
pixels are generated), `losses`, `graph` and `self_training`.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from jaxseg.data import word_vectors
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.methods import base
from jaxseg.methods.zs3net import graph as graphs
from jaxseg.methods.zs3net import layout as layouts
from jaxseg.methods.zs3net import losses, options, players
from jaxseg.methods.zs3net.generation import Generation
from jaxseg.methods.zs3net.sampling import Pairs, sample_pairs
from jaxseg.methods.zs3net.self_training import pseudo_labels
from jaxseg.models.segmentor import Segmentor
from jaxseg.ops.pseudo_labels import share_labelled
from jaxseg.ops.resize import resize_nearest
from jaxseg.state import TrainState

NEVER = -1e9  # a logit that takes no part in a softmax


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ZS3Net(base.Method):
    """Zero-shot segmentation by generated features; inference is the segmentor alone.

    The given optimiser is the segmentor's; in the stage "generator" it moves the
    classifier only, and Adam the generator.

    Attributes:
        stage: "segmentation": cross entropy of the seen classes; "generator": generator
            and classifier, the rest of the segmentor frozen; "self_training": the
            segmentor again, with the labels that it would give at the stage's start.
        layout: what pixels get generated features: whole regions of the seen labels
            ("sampled"), single pixels ("iid"), or those of pictures with unseen classes
            ("gt", the authors', which trains on the unseen labels).
        region_share: of the regions, or pixels, that become an unseen class. With
            `unseen_weight` 100 a share of 3 % has three quarters of all weight, 50 %
            would have 99 % and make the classifier forget the seen classes.
        noise: of the generator's input, "normal" as in the paper or "uniform", from 0
            to 1, as in the authors' code.
        hidden: width of the generator's hidden layer.
        dropout: after it, in training and synthesis alike.
        generator_rate: Adam's, constant.
        generator_updates: one step a batch, of the mean over all pairs of a picture and
            a class ("batch"), or one for each pair in turn, as the authors ("pair").
        samples: positions of each pair, drawn with replacement.
        max_classes: of a picture that the generator learns from in a step; of more,
            random ones.
        bandwidths: of the MMD's kernels.
        unseen_weight: of unseen classes in the classifier's cross entropy.
        restart_classifier: draw the classifier anew, from 0 to 1, at the stage's start.
        graph_context: a second generator, of regions and their neighbours.
        num_nodes: regions of a picture that it knows.
        node_weight: of the cross entropy of its features.
        pseudo_percent: of the unlabelled pixels that look unseen, which share of a
            picture's is labelled in self-training: 25 for VOC, 75 for Context.
    """

    stage: str = "segmentation"
    layout: str = "sampled"
    region_share: float = 0.03
    noise: str = "normal"
    hidden: int = 256
    dropout: float = 0.5
    generator_rate: float = 2e-4
    generator_updates: str = "batch"
    samples: int = 128
    max_classes: int = 8
    bandwidths: tuple[float, ...] = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
    unseen_weight: float = 100.0
    restart_classifier: bool = True
    graph_context: bool = False
    num_nodes: int = 64
    node_weight: float = 0.1
    pseudo_percent: int = 25

    reads_word_vectors: ClassVar[bool] = True

    def __post_init__(self):
        options.check(self)

    @property
    def self_training(self) -> bool:
        return self.stage == "self_training"

    @property
    def reads_unseen_labels(self) -> bool:
        return self.stage == "generator" and self.layout == "gt"

    def init(self, rng: jax.Array, batch: base.Batch) -> TrainState:
        """Adds the stage's players; the generators only where there are word vectors.

        Prediction needs no generator, and a recorded run has no word vectors.
        """
        state = super().init(rng, batch)
        if self.stage == "self_training":
            return state.replace(memory=teacher_of(state))
        if self.stage == "segmentation" or self.labels.word_vectors is None:
            return state
        generators = self.generation(state).init(
            jax.random.fold_in(rng, 1), graph_context=self.graph_context
        )
        classifier = players.params_of(state, players.CLASSIFIER)
        adam = {name: self.adam.init(params) for name, params in generators.items()}
        return state.replace(
            params={**state.params, **generators},
            opt_state={players.CLASSIFIER: self.optimizer.init(classifier), **adam},
        )

    def train_step(
        self, state: TrainState, batch: base.Batch
    ) -> tuple[TrainState, base.Metrics]:
        if self.stage != "generator":
            return super().train_step(state, batch)
        word_vectors.of(self.labels)  # says what is missing
        rng = jax.random.fold_in(state.rng, state.step)
        start_rng, generator_rng, classifier_rng = jax.random.split(rng, 3)
        state = self.restarted(state, start_rng)
        features = self.real_features(state, batch["image"])
        _, h, w, _ = features.shape
        labels = resize_nearest(self.visible(batch["label"]), (h, w))

        state, mmds = self.generator_step(state, features, labels, generator_rng)
        state, terms = self.classifier_step(state, features, labels, classifier_rng)
        return state.replace(step=state.step + 1), mmds | terms

    def loss(
        self, params: Any, state: TrainState, batch: base.Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[TrainState, base.Metrics]]:
        """Cross entropy of the seen classes, or in self-training of all."""
        labels = self.visible(batch["label"])
        metrics = {}
        if self.stage == "self_training":
            memory = jax.lax.cond(
                state.step == 0, lambda: teacher_of(state), lambda: state.memory
            )
            state = state.replace(memory=memory)
            known, labels = labels, self.with_pseudo_labels(state, batch, labels)
            metrics["pseudo_labelled"] = share_labelled(
                known, labels, self.labels.num_classes
            )
        outputs, state = self.forward(params, state, batch["image"], rng=rng)
        logits = outputs.logits
        if self.stage == "segmentation":
            logits = logits.at[..., jnp.asarray(self.labels.unseen)].set(NEVER)
        loss = cross_entropy(logits, labels)
        return loss, (state, {"loss": loss, "cross_entropy": loss} | metrics)

    def generator_step(
        self, state: TrainState, features: jax.Array, labels: jax.Array, rng: jax.Array
    ) -> tuple[TrainState, base.Metrics]:
        """Moves the generators towards the real features of seen classes.

        Args:
            state: before the step.
            features: [B, h, w, D] of the segmentor's head.
            labels: [B, h, w] class ids. Pictures with an unseen one are left out.
            rng: draws positions, noise and dropout.
        """
        pair_rng, pixel_rng, node_rng = jax.random.split(rng, 3)
        left_out = layouts.shows_any(labels, self.labels.unseen)[:, None, None]
        labels = jnp.where(left_out, self.labels.ignore, labels)
        pairs = sample_pairs(
            pair_rng,
            features,
            labels,
            num_classes=self.labels.num_classes,
            max_classes=self.max_classes,
            samples=self.samples,
        )
        if self.generator_updates == "batch":
            groups = jax.tree.map(lambda x: x[None], pairs)
        else:
            groups = jax.tree.map(lambda x: x.reshape(-1, 1, 1, *x.shape[2:]), pairs)
        state, mmd = self.learn_pixels(state, groups, pixel_rng)
        if not self.graph_context:
            return state, {"mmd": mmd}
        state, node_mmd = self.learn_nodes(
            state, features, labels, pairs.labels, node_rng
        )
        return state, {"mmd": mmd, "node_mmd": node_mmd}

    def learn_pixels(
        self, state: TrainState, groups: Pairs, rng: jax.Array
    ) -> tuple[TrainState, jax.Array]:
        """One step of the pixels' generator for each group of pairs [G, B, M, ...].

        Returns:
            the state after the last, and [] the mean MMD of the groups with a pair.
        """
        generation = self.generation(state)

        def loss(params: Any, pairs: Pairs, key: jax.Array) -> jax.Array:
            ids = jnp.broadcast_to(pairs.labels[..., None], pairs.features.shape[:-1])
            generated = generation.pixels(params, ids, key)
            found = losses.pair_losses(
                generated, pairs.features, bandwidths=self.bandwidths
            )
            return losses.mean_where(found, pairs.labels >= 0)

        def learn(carry: Any, group: Any) -> tuple[Any, tuple[jax.Array, jax.Array]]:
            params, opt_state = carry
            pairs, key = group
            exists = jnp.any(pairs.labels >= 0)
            value, grads = jax.value_and_grad(loss)(params, pairs, key)
            carry = players.moved(self.adam, grads, opt_state, params, where=exists)
            return carry, (value, exists)

        start = state.params["generator"], state.opt_state["generator"]
        keys = jax.random.split(rng, len(groups.labels))
        end, (values, exist) = jax.lax.scan(learn, start, (groups, keys))
        state = players.replaced(state, "generator", *end)
        return state, losses.mean_where(values, exist)

    def learn_nodes(
        self,
        state: TrainState,
        features: jax.Array,
        labels: jax.Array,
        classes: jax.Array,
        rng: jax.Array,
    ) -> tuple[TrainState, jax.Array]:
        """One step of the graphs' generator.

        Args:
            state: before the step.
            features: [B, h, w, D].
            labels: [B, h, w] seen class ids.
            classes: [B, M] those of each picture that are compared.
            rng: draws noise and dropout.

        Returns:
            the state after it, and [] the mean MMD over pictures and their classes.
        """
        generation = self.generation(state)
        graph = self.graph_of(labels)
        real = graphs.at_first_pixel(features, graph)
        has_node = jnp.any(graph.labels[:, None] == classes[..., None], axis=-1)
        exists = has_node & (classes >= 0)  # [B, M]

        def loss(params: Any) -> jax.Array:
            found = losses.node_losses(
                generation.nodes(params, graph, rng),
                real,
                graph.labels,
                classes,
                bandwidths=self.bandwidths,
            )
            return losses.mean_where(found, exists)

        name = "graph_generator"
        params = state.params[name]
        value, grads = jax.value_and_grad(loss)(params)
        end = players.moved(
            self.adam, grads, state.opt_state[name], params, where=jnp.any(exists)
        )
        return players.replaced(state, name, *end), value

    def classifier_step(
        self, state: TrainState, features: jax.Array, labels: jax.Array, rng: jax.Array
    ) -> tuple[TrainState, base.Metrics]:
        """Moves the classifier by real features of some pixels, generated of others.

        Args:
            state: before the step.
            features: [B, h, w, D] of the segmentor's head.
            labels: [B, h, w] class ids.
            rng: draws the layout, noise and dropout.
        """
        layout_rng, pixel_rng, node_rng = jax.random.split(rng, 3)
        layout = self.draw_layout(layout_rng, labels)
        generated = self.generation(state).pixels(
            state.params["generator"], layout.labels, pixel_rng
        )
        mixed = jnp.where(layout.generated[..., None], generated, features)
        graph, nodes = self.generated_nodes(state, layout, labels, node_rng)

        def loss(classifier: Any) -> tuple[jax.Array, base.Metrics]:
            entropy = self.entropy(classifier, mixed, layout.labels)
            if graph is None:
                return entropy, {"cross_entropy": entropy}
            of_nodes = self.entropy(classifier, nodes, graph.labels)
            terms = {"cross_entropy": entropy, "node_cross_entropy": of_nodes}
            return entropy + self.node_weight * of_nodes, terms

        params = players.params_of(state, players.CLASSIFIER)
        opt_state = state.opt_state[players.CLASSIFIER]
        gradient = jax.value_and_grad(loss, has_aux=True)
        (total, terms), grads = gradient(params)
        updates, opt_state = self.optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        metrics = {
            "loss": total,
            "grad_norm": optax.tree.norm(grads),
            "generated_share": jnp.mean(layout.generated, dtype=jnp.float32),
        }
        state = players.replaced(state, players.CLASSIFIER, params, opt_state)
        return state, metrics | terms

    def generated_nodes(
        self,
        state: TrainState,
        layout: layouts.Layout,
        labels: jax.Array,
        rng: jax.Array,
    ) -> tuple[graphs.Graph | None, jax.Array | None]:
        """The regions of labels [B, h, w] with the layout's classes, and features."""
        if not self.graph_context:
            return None, None
        graph = self.graph_of(labels)
        classes = graphs.at_first_pixel(layout.labels, graph)
        graph = graph._replace(labels=jnp.where(graph.labels < 0, -1, classes))
        params = state.params["graph_generator"]
        return graph, self.generation(state).nodes(params, graph, rng)

    def entropy(self, classifier: Any, features: Any, labels: jax.Array) -> jax.Array:
        """[] the weighted cross entropy of features [B, ..., D], labels [B, ...]."""
        maps = features.reshape(len(labels), -1, 1, features.shape[-1])
        logits: Any = self.segmentor.apply(
            {"params": {"classifier": classifier}}, maps, method=Segmentor.classify
        )
        weights = jnp.ones(self.labels.num_classes)
        weights = weights.at[jnp.asarray(self.labels.unseen)].set(self.unseen_weight)
        return losses.classifier_loss(
            logits, labels.reshape(len(labels), -1, 1), class_weights=weights
        )

    def restarted(self, state: TrainState, rng: jax.Array) -> TrainState:
        """Draws a new classifier from U[0, 1) at step 0, if it is to be restarted."""
        if not self.restart_classifier:
            return state
        classifier = players.params_of(state, players.CLASSIFIER)
        leaves, tree = jax.tree.flatten(classifier)
        drawn = [
            jnp.where(state.step == 0, jax.random.uniform(key, leaf.shape), leaf)
            for key, leaf in zip(
                jax.random.split(rng, len(leaves)), leaves, strict=True
            )
        ]
        return players.replaced(
            state,
            players.CLASSIFIER,
            jax.tree.unflatten(tree, drawn),
            state.opt_state[players.CLASSIFIER],
        )

    def real_features(self, state: TrainState, image: jax.Array) -> jax.Array:
        """The head's features [B, h, w, D] in evaluation mode, constants in training.

        The authors' code leaves dropout and batch statistics on, and lets the running
        statistics drift.
        """
        variables = {
            "params": state.params["segmentor"],
            "batch_stats": state.batch_stats.get("segmentor", {}),
        }
        outputs: Any = self.segmentor.apply(variables, image, train=False)
        return jax.lax.stop_gradient(outputs.features).astype(jnp.float32)

    def visible(self, labels: jax.Array) -> jax.Array:
        """The labels that the stage may learn from: int32, unseen ones hidden.

        The pipeline hides them before; this makes it a property of the method.
        """
        labels = labels.astype(jnp.int32)
        if self.reads_unseen_labels:
            return labels
        unseen = jnp.isin(labels, jnp.asarray(self.labels.unseen))
        return jnp.where(unseen, self.labels.ignore, labels)

    def draw_layout(self, rng: jax.Array, labels: jax.Array) -> layouts.Layout:
        """Which positions of labels [B, h, w] get generated features."""
        classes: dict[str, Any] = dict(
            num_classes=self.labels.num_classes, unseen=self.labels.unseen
        )
        if self.layout == "gt":
            return layouts.ground_truth(labels, **classes)
        draw = layouts.sampled if self.layout == "sampled" else layouts.iid
        return draw(rng, labels, share=self.region_share, **classes)

    def with_pseudo_labels(
        self, state: TrainState, batch: base.Batch, labels: jax.Array
    ) -> jax.Array:
        """Fills in what the remembered teacher is most certain of, [B, H, W]."""
        return pseudo_labels(
            self.predict(state.replace(**state.memory), batch),
            labels,
            unseen=self.labels.unseen,
            percent=self.pseudo_percent,
        )

    def generation(self, state: TrainState) -> Generation:
        """The generators, for the segmentor of a state.

        Raises:
            WordVectorError: if the labels have no word vectors.
        """
        classifier = players.params_of(state, players.CLASSIFIER)
        return Generation(
            class_table=jnp.asarray(word_vectors.of(self.labels), jnp.float32),
            features=classifier["kernel"].shape[-2],
            hidden=self.hidden,
            dropout=self.dropout,
            noise=self.noise,
        )

    def synthesise(
        self, state: TrainState, key: jax.Array, class_ids: jax.Array
    ) -> jax.Array:
        """Features [..., D] of class ids [...]; of the stage `generator` alone."""
        params = state.params["generator"]
        return self.generation(state).pixels(params, class_ids, key)

    @property
    def adam(self) -> optax.GradientTransformation:
        """What moves the generators."""
        return optax.adam(self.generator_rate)

    def graph_of(self, labels: jax.Array) -> graphs.Graph:
        """The graphs of label maps [B, h, w]."""
        return graphs.graph_of(
            labels, num_classes=self.labels.num_classes, num_nodes=self.num_nodes
        )


def teacher_of(state: TrainState) -> dict[str, Any]:
    """What predicts, kept as it is now."""
    return {
        "params": {"segmentor": state.params["segmentor"]},
        "batch_stats": {"segmentor": state.batch_stats.get("segmentor", {})},
    }
