"""PiCo: pixels of one class attract each other across images.

Wang et al., "Exploring Cross-Image Pixel Contrast for Semantic Segmentation" (ICCV
2021), and its journal version PiCo. Read `PiCo.loss` first, then `sampling` (which
pixels), `loss` (the contrast with all examples), `chosen` (with chosen and mixed ones)
and `memory` (what is remembered). What the authors' release does otherwise, and why we
differ, is in docs/methods/pico.md.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.methods import base
from jaxseg.methods.pico import chosen, official, options, sampling, supervision
from jaxseg.methods.pico import loss as losses
from jaxseg.methods.pico import memory as memories
from jaxseg.methods.pico.network import PiCoNetwork, labels_at
from jaxseg.methods.pico.rule import ExampleRule
from jaxseg.models.heads.projection import Projection
from jaxseg.models.segmentor import Outputs
from jaxseg.ops.resize import resize_bilinear
from jaxseg.state import TrainState


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PiCo(base.Method):
    """Cross entropy plus pixel contrast; inference is that of the segmentor alone.

    Attributes:
        contrast_weight: of the contrast beside the cross entropy. 0 leaves the plain
            supervised method: no projection, no memory, no sampling in the program.
        warmup_steps: steps with cross entropy alone, while the memory fills.
        contrast_set: what anchors are compared with: the anchors of their group
            ("batch"), the memory ("memory") or both.
        contrast_scope: compare anchors across the images of a group ("inter"), or each
            with those of its own image alone ("intra", without a memory).
        temperature: divides the cosines.
        base_temperature: the loss is scaled by temperature / base_temperature.
        group_size: images that share anchor slots and contrast with each other, 0 for
            the whole batch; the same whatever the number of devices.
        anchor_mode: anchors are, of every class in an image, half pixels that the head
            has wrong ("hard", the authors' code) or any ("random"); or as many of every
            class in a group, half of them hard ("per_class", the paper).
        max_samples: anchor slots of a group; not of "per_class", which has
            `anchors_per_class` for each of the C classes.
        max_views: most anchors of a class in an image, which must have more pixels; not
            of "per_class".
        anchors_per_class: of a group, in "per_class".
        embedding_dim: D.
        embedding_stages: backbone stages that are projected, joined at the first one's
            size; () for the head's features (`Outputs.features`).
        linear_projection: project by one 1x1 convolution in place of two.
        region_size: slots a class for the mean embeddings of images; 0 for none.
        pixel_size: slots a class for embeddings of single pixels; 0 for none.
        pixel_picks: pixels of every class and image that are remembered.
        memory_dtype: of the remembered embeddings.
        example_mode: which of the memory's entries an anchor is compared with: "all",
            or some of each kind, which are any ("random"), the hardest ("hardest") or
            any of the hardest ("semi_hard", the paper). Examples of the batch are
            always all.
        semi_hard_fraction: share of the entries that count as the hardest.
        semi_hard_band: (low, high) shares of the entries by hardness to draw from in
            place of the hardest; () for those.
        num_positives: K, entries of the anchor's class; not of "all".
        num_negatives: K', entries of other classes; not of "all".
        bank_columns: most entries, of all classes, that a step chooses from or mixes,
            the same random ones for all anchors; 0 for no limit. "all" without mixes
            looks at the whole memory.
        num_mixed_negatives: mixes of two of an anchor's chosen negatives that count as
            further ones; 0 for none. Needs a memory, as the next.
        num_anchor_mixes: mixes of a negative with the anchor itself; 0 for none.
        mix_pairs: draw pairs of negatives for each anchor ("per_anchor"), or once for
            all of a class ("per_class").
        class_weights: of the cross entropy, one per class; () for none.
        auxiliary_weight: of the auxiliary head's cross entropy, if there is one.
        cross_entropy_per_group: average the cross entropy over the pixels of each group
            of `group_size` images, then over the groups, as the authors' code does with
            a group on each GPU; otherwise over all pixels of the batch.
        official_memory_compat: what the authors' release computes with its memory, with
            its defects (see `official`); for comparisons only. The random entries that
            it begins with are the same for every seed.
    """

    contrast_weight: float = 0.1
    warmup_steps: int = 5_000
    contrast_set: str = "both"
    contrast_scope: str = "inter"
    temperature: float = 0.1
    base_temperature: float = 0.07
    group_size: int = 2
    anchor_mode: str = "hard"
    max_samples: int = 1_024
    max_views: int = 100
    anchors_per_class: int = 50
    embedding_dim: int = 256
    embedding_stages: tuple[int, ...] = (-1,)
    linear_projection: bool = False
    region_size: int = 5_000
    pixel_size: int = 10_000
    pixel_picks: int = 10
    memory_dtype: str = "float32"
    example_mode: str = "semi_hard"
    semi_hard_fraction: float = 0.1
    semi_hard_band: tuple[float, ...] = ()
    num_positives: int = 1_024
    num_negatives: int = 2_048
    bank_columns: int = 40_000
    num_mixed_negatives: int = 512
    num_anchor_mixes: int = 256
    mix_pairs: str = "per_anchor"
    class_weights: tuple[float, ...] = ()
    auxiliary_weight: float = 0.4
    cross_entropy_per_group: bool = False
    official_memory_compat: bool = False

    def __post_init__(self):
        options.check(self)
        rule = self.example_rule  # checks itself
        if self.has_memory and rule.chooses:
            rule.check_columns(self.labels.num_classes)

    @property
    def example_rule(self) -> ExampleRule:
        """Which entries of the memory anchors are compared with."""
        return ExampleRule(
            mode=self.example_mode,
            semi_hard_fraction=self.semi_hard_fraction,
            semi_hard_band=tuple(self.semi_hard_band),
            num_positives=self.num_positives,
            num_negatives=self.num_negatives,
            bank_columns=self.bank_columns,
            num_mixed_negatives=self.num_mixed_negatives,
            num_anchor_mixes=self.num_anchor_mixes,
            mix_pairs=self.mix_pairs,
        )

    @property
    def has_memory(self) -> bool:
        """Whether anything is remembered."""
        return bool(self.contrast_weight) and self.contrast_set != "batch"

    @property
    def network(self) -> nn.Module:
        if not self.contrast_weight:
            return base.Network(self.segmentor)
        projection = Projection(
            self.embedding_dim,
            linear=self.linear_projection,
            dtype=self.segmentor.dtype,
        )
        return PiCoNetwork(self.segmentor, projection, stages=self.embedding_stages)

    def init_memory(self) -> memories.Memory | None:
        if not self.has_memory:
            return None
        sizes: dict[str, Any] = dict(
            region_size=self.region_size,
            pixel_size=self.pixel_size,
            dim=self.embedding_dim,
            dtype=self.memory_dtype,
        )
        if self.official_memory_compat:
            rng = jax.random.key(0)
            return official.random_memory(rng, self.labels.num_classes, **sizes)
        return memories.empty(self.labels.num_classes, **sizes)

    def loss(
        self, params: Any, state: TrainState, batch: base.Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[TrainState, base.Metrics]]:
        if not self.contrast_weight:
            outputs, state = self.forward(params, state, batch["image"], rng=rng)
            loss, terms = self.supervision(outputs, batch["label"])
            return loss, (state, {"loss": loss} | terms)

        dropout_rng, anchor_rng, memory_rng, example_rng = jax.random.split(rng, 4)
        (outputs, embeddings), state = self.forward(
            params, state, batch["image"], rng=dropout_rng
        )
        supervised, terms = self.supervision(outputs, batch["label"])
        grid = embeddings.shape[1:3]
        labels = labels_at(
            batch["label"],
            grid,
            size_divisor=self.segmentor.size_divisor,
            ignored=self.labels.ignore,
        )

        contrast, metrics = self.contrast(
            embeddings,
            labels,
            self.predictions(outputs, grid),
            state,
            anchor_rng,
            example_rng,
        )
        loss = supervised + self.contrast_weight * contrast
        # What is not finite is not remembered. That the memory waits for the contrast
        # also lets the compiler write in place, rather than into a copy of the bank.
        known = jnp.where(jnp.isfinite(loss), labels, -1)
        state = state.replace(
            memory=self.remember(state.memory, embeddings, known, memory_rng)
        )
        metrics = {"loss": loss} | terms | {"contrast": contrast} | metrics
        return loss, (state, metrics)

    def supervision(
        self, outputs: Outputs, labels: jax.Array
    ) -> tuple[jax.Array, base.Metrics]:
        """The supervised part of the loss, [], and its parts by name."""
        return supervision.supervised_loss(
            outputs,
            labels,
            class_weights=self.class_weights,
            auxiliary_weight=self.auxiliary_weight,
            group_size=self.group_size if self.cross_entropy_per_group else 0,
        )

    def predictions(self, outputs: Outputs, grid: tuple[int, int]) -> jax.Array:
        """What the head says at the embeddings' positions, [B, h, w] class ids."""
        coarse = resize_bilinear(
            outputs.coarse, grid, align_corners=self.segmentor.align_corners
        )
        return jnp.argmax(coarse, axis=-1)

    def contrast(
        self,
        embeddings: jax.Array,
        labels: jax.Array,
        predictions: jax.Array,
        state: TrainState,
        anchor_rng: jax.Array,
        example_rng: jax.Array,
    ) -> tuple[jax.Array, base.Metrics]:
        """Samples anchors and contrasts them, unless the run is still warming up.

        Args:
            embeddings: [B, h, w, D] unit vectors.
            labels: [B, h, w] class ids; ids outside [0, C) do not count.
            predictions: [B, h, w] class ids; where they are wrong is a hard pixel.
            state: `step` and `memory` are read.
            anchor_rng: chooses among equal pixels.
            example_rng: chooses among the memory's entries, and mixes them.

        Returns:
            [] the contrast, 0 while warming up, and [] float32 metrics.
        """
        b, h, w, d = embeddings.shape
        picked, pairs = self.choose_anchors(labels, predictions, anchor_rng)
        groups = len(picked.positions)
        pixels = embeddings.reshape(groups, b // groups * h * w, d)
        # One gather: its gradient is one scatter, zero for all other pixels.
        anchors = jnp.take_along_axis(pixels, picked.positions[..., None], axis=1)
        images = picked.positions // (h * w)
        found = jax.lax.cond(
            state.step >= self.warmup_steps,
            lambda: self.compare(
                anchors, picked.labels, images, pairs.views, state.memory, example_rng
            ),
            losses.none,
        )
        num_anchors = jnp.sum(picked.labels >= 0)
        metrics = {
            "qualified_pairs": jnp.sum(pairs.qualified),
            "valid_anchors": num_anchors,
            "contrasted_anchors": found.num_anchors,
            "hard_share": jnp.sum(picked.hard) / jnp.maximum(num_anchors, 1),
            "positive_similarity": found.positive_similarity,
            "hardest_negative_similarity": found.hardest_negative_similarity,
        }
        if state.memory is not None:
            metrics["bank_fill"] = memories.fill(state.memory)
        return found.loss, {k: v.astype(jnp.float32) for k, v in metrics.items()}

    def choose_anchors(
        self, labels: jax.Array, predictions: jax.Array, rng: jax.Array
    ) -> tuple[sampling.Anchors, sampling.Pairs]:
        """The pixels of maps [B, h, w] that become anchors, as `anchor_mode` says."""
        maps = labels, predictions, sampling.draw_priority(rng, labels.shape)
        of_groups: dict[str, Any] = dict(
            num_classes=self.labels.num_classes, group_size=self.group_size
        )
        if self.anchor_mode == "per_class":
            return sampling.choose_anchors_per_class(
                *maps, anchors_per_class=self.anchors_per_class, **of_groups
            )
        is_hard = self.anchor_mode == "hard"
        choose = sampling.choose_anchors if is_hard else sampling.choose_random_anchors
        return choose(
            *maps,
            max_samples=self.max_samples,
            max_views=self.max_views,
            **of_groups,
        )

    def compare(
        self,
        anchors: jax.Array,
        labels: jax.Array,
        images: jax.Array,
        views: jax.Array,
        memory: memories.Memory | None,
        rng: jax.Array,
    ) -> losses.Contrast:
        """The contrast of anchors with the contrast set.

        Args:
            anchors: [G, A, D] unit vectors.
            labels: [G, A] class ids; -1 marks an empty slot.
            images: [G, A] the place in the group of each anchor's image.
            views: [G] anchors of each pair of an image and a class.
            memory: as it was before the step, if there is one.
            rng: chooses and mixes the memory's examples.
        """
        temperatures = dict(
            temperature=self.temperature, base_temperature=self.base_temperature
        )
        if memory is not None and self.official_memory_compat:
            return official.contrast(anchors, labels, views, memory, **temperatures)
        banks = () if memory is None else memories.banks(memory)
        with_batch = self.contrast_set != "memory"
        rule = self.example_rule
        if banks and rule.chooses:
            return chosen.chosen_contrast(
                anchors,
                labels,
                banks,
                rng,
                rule=rule,
                with_batch=with_batch,
                **temperatures,
            )
        return losses.pixel_contrast(
            anchors,
            labels,
            banks,
            with_batch=with_batch,
            images=images if self.contrast_scope == "intra" else None,
            **temperatures,
        )

    def remember(
        self,
        memory: memories.Memory | None,
        embeddings: jax.Array,
        labels: jax.Array,
        rng: jax.Array,
    ) -> memories.Memory | None:
        """Appends the batch to the memory, if there is one."""
        if memory is None:
            return None
        if self.official_memory_compat:
            pick, update = official.pick_pixels, official.update
        else:
            pick, update = sampling.pick_pixels, memories.update
        picks = pick(
            labels,
            sampling.draw_priority(rng, labels.shape),
            num_classes=self.labels.num_classes,
            num_picks=self.pixel_picks,
        )
        return update(memory, embeddings, labels, picks)

    def warnings(
        self, step: int, total_steps: int, means: Mapping[str, float]
    ) -> tuple[str, ...]:
        nothing_learnt = super().warnings(step, total_steps, means)
        if nothing_learnt or not self.contrast_weight:
            return nothing_learnt
        if total_steps <= self.warmup_steps:
            return (
                f"all {total_steps} steps are warm-up, so there is no contrast at all; "
                f"lower config.method.warmup_steps = {self.warmup_steps}, usually to "
                "an eighth of the steps",
            )
        found = options.not_followed(self)
        if step <= self.warmup_steps:
            return found
        if not means["contrast"]:
            return (
                "the contrast is 0 after the warm-up, so PiCo trains nothing: "
                f"{self._reason(means)}",
                *found,
            )
        return (*found, *options.collapsed(means))

    def _reason(self, means: Mapping[str, float]) -> str:
        per_class = self.anchor_mode == "per_class"
        if not means["qualified_pairs"]:
            if per_class:
                return "no picture has a labelled pixel at the embeddings' size"
            return (
                f"no class has more than max_views = {self.max_views} pixels in an "
                "image at the embeddings' size; lower config.method.max_views, or "
                "project a finer map (config.method.embedding_stages)"
            )
        if self.contrast_set == "memory" and not means["bank_fill"]:
            return (
                "the memory is empty, as at the very first step; later that means that "
                "all labels are ignored"
            )
        budget = "anchors_per_class" if per_class else "max_samples, max_views"
        remedy = f"raise config.method.{budget} or group_size"
        if self.contrast_scope == "intra":
            remedy = f"raise config.method.{budget}, or try contrast_scope = 'inter'"
        return f"no anchor has both a positive and a negative example; {remedy}"
