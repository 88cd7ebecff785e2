"""PiCo: pixels of one class attract each other across images.

Wang et al., "Exploring Cross-Image Pixel Contrast for Semantic Segmentation" (ICCV
2021), and its journal version PiCo. Read `PiCo.loss` first, then `sampling` (which
pixels), `loss` (the contrast) and `memory` (what is remembered). What the authors'
release does otherwise, and why we differ, is in docs/methods/pico.md.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.methods import base
from jaxseg.methods.pico import loss as losses
from jaxseg.methods.pico import memory as memories
from jaxseg.methods.pico import official, sampling, supervision
from jaxseg.methods.pico.network import PiCoNetwork
from jaxseg.models.heads.projection import Projection
from jaxseg.models.segmentor import Outputs
from jaxseg.ops.resize import resize_bilinear, resize_nearest
from jaxseg.state import TrainState

CONTRAST_SETS = ("batch", "memory", "both")
# What the fields may be at least.
LOWEST = dict(
    contrast_weight=0,
    warmup_steps=0,
    temperature=1e-3,
    base_temperature=1e-3,
    group_size=0,
    max_samples=1,
    max_views=1,
    embedding_dim=1,
    region_size=0,
    pixel_size=0,
    pixel_picks=1,
)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PiCo(base.Method):
    """Cross entropy plus pixel contrast; inference is that of the segmentor alone.

    Attributes:
        contrast_weight: of the contrast beside the cross entropy. 0 leaves the plain
            supervised method: no projection, no memory, no sampling in the program.
        warmup_steps: steps with cross entropy alone, while the memory fills.
        contrast_set: what anchors are compared with: the anchors of their group
            ("batch"), the memory ("memory") or both.
        temperature: divides the cosines.
        base_temperature: the loss is scaled by temperature / base_temperature.
        group_size: images that share anchor slots and contrast with each other, 0 for
            the whole batch; the same whatever the number of devices.
        max_samples: anchor slots of a group.
        max_views: most anchors of a class in an image, which must have more pixels.
        embedding_dim: D.
        embedding_stages: backbone stages that are projected, joined at the first one's
            size; () for the head's features, after its dropout if it has any.
        linear_projection: project by one 1x1 convolution in place of two.
        region_size: slots a class for the mean embeddings of images; 0 for none.
        pixel_size: slots a class for embeddings of single pixels; 0 for none.
        pixel_picks: pixels of every class and image that are remembered.
        memory_dtype: of the remembered embeddings.
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
    temperature: float = 0.1
    base_temperature: float = 0.07
    group_size: int = 2
    max_samples: int = 1_024
    max_views: int = 100
    embedding_dim: int = 256
    embedding_stages: tuple[int, ...] = (-1,)
    linear_projection: bool = False
    region_size: int = 5_000
    pixel_size: int = 10_000
    pixel_picks: int = 10
    memory_dtype: str = "float32"
    class_weights: tuple[float, ...] = ()
    auxiliary_weight: float = 0.4
    cross_entropy_per_group: bool = False
    official_memory_compat: bool = False

    def __post_init__(self):
        if self.contrast_set not in CONTRAST_SETS:
            raise ValueError(
                f"contrast_set is {self.contrast_set!r}; use one of {CONTRAST_SETS}"
            )
        if self.official_memory_compat and self.contrast_set != "memory":
            raise ValueError(
                "official_memory_compat reproduces a contrast with the memory alone; "
                f"contrast_set is {self.contrast_set!r}: use 'memory'"
            )
        if self.memory_dtype not in ("float32", "bfloat16"):
            raise ValueError(
                f"memory_dtype is {self.memory_dtype!r}; use 'float32' or 'bfloat16'"
            )
        sizes = (self.region_size, self.pixel_size)
        if self.official_memory_compat and 0 in sizes:
            raise ValueError(
                f"official_memory_compat has regions and pixels, not {sizes} of them"
            )
        if self.contrast_set != "batch" and not any(sizes):
            raise ValueError(
                "region_size and pixel_size are 0: for a contrast without a memory use "
                "contrast_set='batch'"
            )
        for name, lowest in LOWEST.items():
            if not getattr(self, name) >= lowest:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; it must be {lowest} or more"
                )

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
        if not self.contrast_weight or self.contrast_set == "batch":
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

        dropout_rng, anchor_rng, memory_rng = jax.random.split(rng, 3)
        (outputs, embeddings), state = self.forward(
            params, state, batch["image"], rng=dropout_rng
        )
        supervised, terms = self.supervision(outputs, batch["label"])
        grid = embeddings.shape[1:3]
        labels = resize_nearest(batch["label"], grid)

        contrast, metrics = self.contrast(
            embeddings, labels, self.predictions(outputs, grid), state, anchor_rng
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
        rng: jax.Array,
    ) -> tuple[jax.Array, base.Metrics]:
        """Samples anchors and contrasts them, unless the run is still warming up.

        Args:
            embeddings: [B, h, w, D] unit vectors.
            labels: [B, h, w] class ids; ids outside [0, C) do not count.
            predictions: [B, h, w] class ids; where they are wrong is a hard pixel.
            state: `step` and `memory` are read.
            rng: chooses among equal pixels.

        Returns:
            [] the contrast, 0 while warming up, and [] float32 metrics.
        """
        b, h, w, d = embeddings.shape
        chosen, pairs = sampling.choose_anchors(
            labels,
            predictions,
            sampling.draw_priority(rng, labels.shape),
            num_classes=self.labels.num_classes,
            max_samples=self.max_samples,
            max_views=self.max_views,
            group_size=self.group_size,
        )
        groups = len(chosen.positions)
        pixels = embeddings.reshape(groups, b // groups * h * w, d)
        # One gather: its gradient is one scatter, zero for all other pixels.
        anchors = jnp.take_along_axis(pixels, chosen.positions[..., None], axis=1)
        found = jax.lax.cond(
            state.step >= self.warmup_steps,
            lambda: self.compare(anchors, chosen.labels, pairs.views, state.memory),
            losses.none,
        )
        num_anchors = jnp.sum(chosen.labels >= 0)
        metrics = {
            "qualified_pairs": jnp.sum(pairs.qualified),
            "valid_anchors": num_anchors,
            "contrasted_anchors": found.num_anchors,
            "hard_share": jnp.sum(chosen.hard) / jnp.maximum(num_anchors, 1),
            "positive_similarity": found.positive_similarity,
            "hardest_negative_similarity": found.hardest_negative_similarity,
        }
        if state.memory is not None:
            metrics["bank_fill"] = memories.fill(state.memory)
        return found.loss, {k: v.astype(jnp.float32) for k, v in metrics.items()}

    def compare(
        self,
        anchors: jax.Array,
        labels: jax.Array,
        views: jax.Array,
        memory: memories.Memory | None,
    ) -> losses.Contrast:
        """The contrast of anchors [G, A, D] of classes [G, A] with the contrast set."""
        temperatures = dict(
            temperature=self.temperature, base_temperature=self.base_temperature
        )
        if memory is not None and self.official_memory_compat:
            return official.contrast(anchors, labels, views, memory, **temperatures)
        return losses.pixel_contrast(
            anchors,
            labels,
            () if memory is None else memories.banks(memory),
            with_batch=self.contrast_set != "memory",
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
        if step <= self.warmup_steps or means["contrast"]:
            return ()
        if not means["qualified_pairs"]:
            reason = (
                f"no class has more than max_views = {self.max_views} pixels in an "
                "image at the embeddings' size; lower config.method.max_views, or "
                "project a finer map (config.method.embedding_stages)"
            )
        elif self.contrast_set == "memory" and not means["bank_fill"]:
            reason = (
                "the memory is empty, as at the very first step; later that means that "
                "all labels are ignored"
            )
        else:
            reason = (
                "no anchor has both a positive and a negative example; raise "
                "config.method.max_samples, max_views or group_size"
            )
        return (
            f"the contrast is 0 after the warm-up, so PiCo trains nothing: {reason}",
        )
