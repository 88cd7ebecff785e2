"""SPNet: a pixel's features are a word vector, its class the nearest name (Xian 2019).

"Semantic Projection Network for Zero- and Few-Label Semantic Segmentation", CVPR 2019.
Read `SPNet.loss` first, then `seen_cross_entropy` (unseen classes take no part) and
`calibrated` (what keeps seen classes from winning everywhere).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxseg.data import splits, word_vectors
from jaxseg.losses.cross_entropy import seen_cross_entropy
from jaxseg.methods import base
from jaxseg.models.heads.word_vectors import (
    CLASS_VECTORS,
    WordVectorClassifier,
    with_class_vectors,
)
from jaxseg.ops.pseudo_labels import PseudoLabels, share_labelled
from jaxseg.ops.scales import labels_at, largest, shrink
from jaxseg.state import TrainState


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SPNet(base.Method):
    """Cross entropy over the seen classes, whose classifier is their names' vectors.

    Batch normalisation is frozen, as in the authors' code: running statistics are used
    in training too, and scale and bias stay. Nothing moves the word vectors either.

    Attributes:
        scales: of the pictures in training; logits of the others are enlarged to the
            size of the first for their maximum.
        predict_scales: of the picture that is predicted, whose largest logits count.
        gamma: what is taken off the probability of every seen class in prediction;
            0.6 for VOC and 0.4 for COCO-Stuff in the authors' code.
        zero_label: predicts unseen classes only (the zero-label setting).
        pseudo_labels: what the model takes unlabelled pixels for; it then learns all
            classes. None for the seen ones alone, as published.
    """

    scales: tuple[float, ...] = (1.0, 0.5, 0.75)
    predict_scales: tuple[float, ...] = (1.0,)
    gamma: float = 0.0
    zero_label: bool = False
    pseudo_labels: PseudoLabels | None = None

    reads_word_vectors: ClassVar[bool] = True

    def __post_init__(self):
        for name in ("scales", "predict_scales"):
            values = getattr(self, name)
            if not values or min(values) <= 0:
                raise ValueError(f"{name} are one or more factors above 0: {values}")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma is a probability, got {self.gamma}")
        if self.zero_label and self.gamma:
            raise ValueError(
                f"zero_label predicts no seen class, so gamma {self.gamma} would "
                "change nothing: set one of the two"
            )
        splits.check_split(self.labels)
        if not isinstance(self.segmentor.decoder, WordVectorClassifier):
            raise ValueError(
                "its classifier is made of word vectors: set config.model.decoder="
                "dict(name='heads.word_vectors.WordVectorClassifier')"
            )

    def init(self, rng: jax.Array, batch: base.Batch) -> TrainState:
        """As `Method.init`, with the word vectors of the classes filled in.

        Where there are none, as where nothing but a checkpoint is at hand, zeros stand
        for those that it has; `loss` refuses to train with them.

        Raises:
            ValueError: if they are of another size than the head's features.
        """
        state = super().init(rng, batch)
        params = with_class_vectors(state.params, self.labels.word_vectors)
        return state.replace(params=params)

    def loss(
        self, params: Any, state: TrainState, batch: base.Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[TrainState, base.Metrics]]:
        del rng
        word_vectors.of(self.labels)  # else it would learn from zeros
        params = jax.tree.map(
            lambda leaf, still: jax.lax.stop_gradient(leaf) if still else leaf,
            params,
            still_ones(params, state.batch_stats),
        )
        maps = [
            self._outputs(params, state, shrink(batch["image"], scale)).coarse
            for scale in self.scales
        ]
        labels, taught, metrics = batch["label"], self.labels.seen, {}
        if self.pseudo_labels is not None:
            labels, share = self._completed(state, batch)
            taught = (*self.labels.seen, *self.labels.unseen)
            metrics = {"pseudo_labelled": share}
        first, *_ = losses = multiscale_losses(maps, labels, taught)
        loss = sum(losses, start=jnp.zeros(()))
        return loss, (state, metrics | {"loss": loss, "cross_entropy": first})

    @property
    def self_training(self) -> bool:
        return self.pseudo_labels is not None

    def _completed(
        self, state: TrainState, batch: base.Batch
    ) -> tuple[jax.Array, jax.Array]:
        """Labels [B, h, w] with pseudo labels, and the unlabelled pixels' share.

        They are of the picture at its own size; `predict_scales`, which may be changed
        in a run, do not matter to training.
        """
        assert self.pseudo_labels is not None

        def predict(image: jax.Array) -> jax.Array:
            return self._outputs(state.params, state, image).coarse

        size = jax.eval_shape(predict, batch["image"]).shape[1:3]
        labels = labels_at(batch["label"].astype(jnp.int32), size)
        is_unseen = _is_among(self.labels.unseen, self.labels.num_classes) > 0
        completed = self.pseudo_labels(predict, batch["image"], labels, is_unseen)
        share = share_labelled(labels, completed, self.labels.num_classes)
        return completed, share

    def apply_gradients(
        self, state: TrainState, grads: Any, optimizers: Any = None
    ) -> TrainState:
        """As `Method.apply_gradients`; weight decay does not move what stays either."""
        after = super().apply_gradients(state, grads, optimizers)
        params = jax.tree.map(
            lambda old, new, still: old if still else new,
            state.params,
            after.params,
            still_ones(state.params, state.batch_stats),
        )
        return after.replace(params=params)

    def predict(self, state: TrainState, batch: base.Batch) -> jax.Array:
        """Calibrated scores [B, H, W, C]: their argmax is the class; see `calibrated`.

        The calibration is linear in the probabilities, so that a protocol may resize
        scores or average them.
        """
        return self.scores(self.logits(state, batch))

    def logits(self, state: TrainState, batch: base.Batch) -> jax.Array:
        """The largest logits [B, H, W, C] of the scales, before any calibration."""
        _, height, width, _ = batch["image"].shape
        outputs = [
            self._outputs(state.params, state, shrink(batch["image"], scale))
            for scale in self.predict_scales
        ]
        coarse = largest([output.coarse for output in outputs])
        return self.segmentor.enlarge(coarse, (height, width))

    def scores(self, logits: jax.Array) -> jax.Array:
        """What is predicted from logits [..., C]; see `predict`."""
        if self.zero_label:
            return unseen_only(logits, self.labels.seen)
        return calibrated(jax.nn.softmax(logits), self.labels.seen, self.gamma)

    def _outputs(self, params: Any, state: TrainState, image: jax.Array) -> Any:
        variables = {
            "params": params["segmentor"],
            "batch_stats": state.batch_stats.get("segmentor", {}),
        }
        return self.segmentor.apply(variables, image, train=False)


def multiscale_losses(
    maps: Sequence[jax.Array], labels: jax.Array, seen: Sequence[int]
) -> list[jax.Array]:
    """The cross entropies whose sum SPNet minimises.

    Args:
        maps: logits [B, h_i, w_i, C] at each scale.
        labels: [B, H, W] train ids, brought to each map's size by nearest sampling.
        seen: train ids of the classes that take part.

    Returns:
        [] of each map, and last of their element-wise maximum at the first one's size.
    """
    losses = []
    for logits in (*maps, largest(maps)):
        _, h, w, _ = logits.shape
        losses.append(seen_cross_entropy(logits, labels_at(labels, (h, w)), seen))
    return losses


def calibrated(
    probabilities: jax.Array, seen: Sequence[int], gamma: float | jax.Array
) -> jax.Array:
    """Probabilities [..., C] of all classes, less gamma for each that is seen.

    Training has shown the network seen classes only, which it prefers ever after;
    calibrated stacking (Chao et al. 2016) takes a constant off them. As in SPNet's
    code it is off the probabilities; off the logits it would mean something else.
    """
    return probabilities - gamma * _is_among(seen, probabilities.shape[-1])


def unseen_only(logits: jax.Array, seen: Sequence[int]) -> jax.Array:
    """Probabilities [..., C] among the unseen classes, and -1 for each seen one."""
    is_seen = _is_among(seen, logits.shape[-1])
    probabilities = jax.nn.softmax(jnp.where(is_seen > 0, -jnp.inf, logits))
    return probabilities - is_seen


def still_ones(params: Any, batch_stats: Any) -> Any:
    """Which parameters stay as they are: a PyTree of `params`' structure, of bools.

    Those of layers that have running statistics, and the word vectors.
    """
    normalisations = {path[:-1] for path in traverse_util.flatten_dict(batch_stats)}
    return traverse_util.unflatten_dict(
        {
            path: path[:-1] in normalisations or path == CLASS_VECTORS
            for path in traverse_util.flatten_dict(params)
        }
    )


def _is_among(ids: Sequence[int], num_classes: int) -> jax.Array:
    """float32 [C], 1 for the classes named."""
    return jnp.zeros(num_classes, jnp.float32).at[np.asarray(ids)].set(1.0)
