"""SAZS: pixels meet the texts of their classes, with an eye for shape (Liu 2023).

"Delving into Shape-aware Zero-shot Semantic Segmentation", CVPR 2023. Read `SAZS.loss`
first, then `alignment` (pixels and texts), `shape` (outlines) and `segments` (what is
done to a prediction, without training and without labels).
"""

import dataclasses
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from jaxseg.data import image_labels, word_vectors
from jaxseg.losses.cross_entropy import seen_only
from jaxseg.methods import base
from jaxseg.methods.sazs import alignment, segments
from jaxseg.methods.sazs.network import SAZSNetwork
from jaxseg.methods.sazs.segments import Fusion, Segments
from jaxseg.methods.sazs.shape import Shape
from jaxseg.models.guided import GuidedSegmentor
from jaxseg.models.heads.text_anchors import TextAnchors
from jaxseg.models.heads.word_vectors import CLASS_VECTORS, with_class_vectors
from jaxseg.state import TrainState


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SAZS(base.Method):
    """Cross entropy of the similarity to texts, and of outlines; masks from segments.

    Attributes:
        setting: "binary", where a picture is searched for one class that is told
            (episodes, the article's tables), or "multiclass", for all at once. A
            picture that comes without a class is searched for all in either.
        void_as_others: trains unlabelled pixels as "others" in the binary setting, as
            the authors' code does.
        label_mode: how labels come to the size of the feature map: "subsample", or
            "majority" of each cell.
        edge_stage: the stage whose map the classifier of outlines reads; None: the
            features that are compared with texts.
        shape: weights and options of the shape constraint, for `Shape`.
        transform: the regression network of `Shape.transform_weight`, with
            its parameters; `jaxseg.pretrained.inverse_transform.read`.
        segments: how pictures are cut up, for `Segments`.
        fusion: what becomes of the prediction, for `Fusion`.
    """

    setting: Literal["binary", "multiclass"] = "binary"
    void_as_others: bool = False
    label_mode: alignment.LabelMode = "subsample"
    edge_stage: int | None = None
    shape: Shape = Shape()
    transform: Any = None
    segments: Segments = Segments()
    fusion: Fusion = Fusion()

    reads_word_vectors: ClassVar[bool] = True

    def __post_init__(self):
        if self.setting not in ("binary", "multiclass"):
            raise ValueError(
                f"setting is 'binary' or 'multiclass', got {self.setting!r}"
            )
        if self.label_mode not in ("subsample", "majority"):
            raise ValueError(
                f"label_mode is 'subsample' or 'majority', got {self.label_mode!r}"
            )
        if image_labels.BACKGROUND not in self.labels.names:
            raise ValueError(
                f"SAZS needs a class {image_labels.BACKGROUND!r}, whose text stands "
                "for everything else: set config.data.background=True"
            )
        if not isinstance(self.segmentor, GuidedSegmentor) or not isinstance(
            self.segmentor.decoder, TextAnchors
        ):
            raise ValueError(
                "SAZS compares pixels with texts and groups patches: set "
                "config.model.name='guided.GuidedSegmentor' and config.model.decoder="
                "dict(name='heads.text_anchors.TextAnchors')"
            )
        if self.shape.transform_weight and self.transform is None:
            raise ValueError(
                "shape.transform_weight needs a regression network: set config.method."
                "transform=dict(name='jaxseg.pretrained.inverse_transform:read'), or "
                "the weight to 0"
            )

    @property
    def background(self) -> int:
        """The class whose text stands for everything else."""
        return self.labels.names.index(image_labels.BACKGROUND)

    @property
    def network(self) -> SAZSNetwork:
        return SAZSNetwork(self.segmentor, self.edge_stage, self.shape.is_used)

    def init_memory(self) -> Any:
        """The regression network's parameters: nothing moves them.

        As memory they are an argument of the compiled step, have no optimiser state,
        and are left out of what prediction reads.
        """
        if not self.shape.transform_weight:
            return None
        return jax.tree.map(jnp.asarray, self.transform.params)

    def init(self, rng: jax.Array, batch: base.Batch) -> TrainState:
        """As `Method.init`, with the texts filled in, and no state for what stays.

        Raises:
            ValueError: if the texts are of another size than the head's features.
        """
        state = super().init(rng, batch)
        params = with_class_vectors(state.params, self.labels.word_vectors)
        own = {"segmentor": self._segmentor_optimizer.init(params["segmentor"])}
        return state.replace(params=params, opt_state={**state.opt_state, **own})

    def loss(
        self, params: Any, state: TrainState, batch: base.Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[TrainState, base.Metrics]]:
        word_vectors.of(self.labels)  # else it would learn from zeros
        (outputs, edge_logits), state = self.forward(
            params, state, batch["image"], rng=rng
        )
        logits, labels = self._compared(outputs.coarse, batch)
        entropy = alignment.align(logits, labels)
        metrics = {"cross_entropy": entropy}
        loss = entropy
        if edge_logits is not None:
            _, h, w = edge_logits.shape
            edges, valid = self.shape.edges(
                batch["label"], (h, w), num_classes=self.labels.num_classes
            )
            terms = self.shape.losses(
                edge_logits,
                edges,
                valid,
                logits,
                labels,
                transform=None if self.transform is None else self.transform.network,
                transform_params=state.memory,
            )
            loss = loss + self.shape.weighted(terms)
            metrics |= terms
        return loss, (state, {"loss": loss, **metrics})

    def predict(self, state: TrainState, batch: base.Batch) -> jax.Array:
        """Logits [B, H, W, C]; only the class that a picture is searched for can win.

        Where the batch names none, all can.
        """
        logits = super().predict(state, batch)
        if "class_id" not in batch:
            return logits
        if len(logits) != len(batch["class_id"]):
            raise ValueError(
                f"{len(logits)} windows cannot be searched for the classes of "
                f"{len(batch['class_id'])} episodes: use a protocol that shows each "
                "picture once, as resized.Resized"
            )
        return alignment.told(logits, batch["class_id"], background=self.background)

    def refine(
        self, state: TrainState, batch: base.Batch, class_ids: jax.Array
    ) -> jax.Array:
        return segments.refine(
            self.fusion,
            self.segments,
            lambda image: self.guide_features(state, image),
            batch,
            class_ids,
            num_classes=self.labels.num_classes,
            background=self.background,
        )

    def guide_features(self, state: TrainState, image: jax.Array) -> jax.Array:
        """What groups patches, [B, h, w, D], of images [B, H, W, 3]."""
        variables = {
            "params": state.params["segmentor"],
            "batch_stats": state.batch_stats.get("segmentor", {}),
        }
        features: Any = self.segmentor.apply(variables, image, method="guide_features")
        return features

    def apply_gradients(
        self, state: TrainState, grads: Any, optimizers: Any = None
    ) -> TrainState:
        """As `Method.apply_gradients`; texts and guide stay as they are."""
        own = {"segmentor": self._segmentor_optimizer}
        return super().apply_gradients(state, grads, {**own, **(optimizers or {})})

    def _compared(
        self, logits: jax.Array, batch: base.Batch
    ) -> tuple[jax.Array, jax.Array]:
        """Logits [B, h, w, E] of the anchors that take part, and labels [B, h, w]."""
        _, h, w, num_classes = logits.shape
        labels = batch["label"]
        if self.setting == "binary":
            if "class_id" not in batch:
                raise ValueError(
                    "setting='binary' trains on episodes, which say a class each: set "
                    "config.data.name='episodes.FewShot', or setting='multiclass'"
                )
            labels = alignment.episode_labels(
                labels,
                batch["class_id"],
                num_classes=num_classes,
                void_as_others=self.void_as_others,
            )
            logits = alignment.pair(
                logits, batch["class_id"], background=self.background
            )
            num_classes = 2
        elif self.labels.seen:
            logits, labels = seen_only(logits, labels, self.labels.seen)
            num_classes = len(self.labels.seen)
        labels = alignment.shrink_labels(
            labels, (h, w), num_classes=num_classes, mode=self.label_mode
        )
        return logits, labels

    @property
    def _segmentor_optimizer(self) -> optax.GradientTransformation:
        """The optimiser, without a state for the parts that stay as they are."""

        def side(path: tuple[Any, ...]) -> str:
            is_still = path == CLASS_VECTORS[1:] or path[0] == "guide"
            return "still" if is_still else "moved"

        def sides(params: Any) -> Any:
            return traverse_util.path_aware_map(lambda path, _: side(path), params)

        return optax.partition(
            {"moved": self.optimizer, "still": optax.set_to_zero()}, sides
        )
