"""Scores of the folds of PASCAL-5i and COCO-20i: `FoldIoU`.

Shaban et al. 2017, "One-Shot Learning for Semantic Segmentation"; as evaluated by Min
et al. 2021 (HSNet), Li et al. 2022 (LSeg) and Liu et al. 2023 (SAZS). An episode is a
picture and one class in it, which is told; everything else is background.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.labels import LabelSet
from jaxseg.metrics import iou
from jaxseg.metrics.measure import labelled
from jaxseg.metrics.overlap import (
    NOWHERE,
    Overlap,
    countable,
    histogram,
    overlap,
    total,
)
from jaxseg.ops.canvas import inside


@dataclasses.dataclass(frozen=True)
class FoldIoU:
    """Mean IoU of the classes of a fold, and foreground-background IoU.

    With I_c, U_c the pixels of class c in both and in either of truth and prediction,
    summed over the episodes of c, and I_0, U_0 those of the background,

        mean = mean_c I_c / U_c,    FB-IoU = (I_0 / U_0 + sum_c I_c / sum_c U_c) / 2.

    A fold's class that the truth of a picture holds makes an episode of it; in that,
    all other classes are background, in truth and in prediction. Where the truth is
    background alone, the prediction tells the class. So whole masks are scored like
    maps of one class and background (`as_ids`), and classes outside of the fold cost
    nothing but what they take from it. Published numbers are of networks that are told
    the episode's class, and of listed episodes (`data.episodes.FewShot`). One that
    chooses among all classes, in all pictures, has another and harder task: its numbers
    are not to be put beside those.

    Void pixels take no part. The released code of SAZS takes them out of the truth
    only, so that what is predicted there enlarges the unions: `void_predictions`.

    Attributes:
        labels: the classes, one of which is the background.
        classes: train ids of the fold; those that `labels` calls unseen if empty.
        background: the train id of everything else.
        void_predictions: count what is predicted on void pixels, as the released code.
    """

    labels: LabelSet
    classes: tuple[int, ...] = ()
    background: int = 0
    void_predictions: bool = False

    def __post_init__(self):
        fold, known = self.fold, range(self.labels.num_classes)
        if not fold or self.background in fold or not set(fold) <= set(known):
            raise ValueError(
                f"a fold needs classes below {self.labels.num_classes} beside the "
                f"background {self.background}, got {fold}: name them in `classes`, "
                "or give labels with unseen classes"
            )

    @property
    def fold(self) -> tuple[int, ...]:
        """Train ids of the fold's classes."""
        return tuple(self.classes) or tuple(self.labels.unseen)

    def count(
        self, truth: jax.Array, prediction: jax.Array, size: jax.Array | None = None
    ) -> Overlap:
        """Counts pixels by class over its episodes, int32 [C] each; 0 outside the fold.

        Those of the background are summed over all episodes.

        Raises:
            ValueError: if sums over the episodes of the batch might not fit int32.
        """
        if truth.size * len(self.fold) >= 2**31:
            raise ValueError(
                f"a batch of {truth.shape} is too large for episodes of "
                f"{len(self.fold)} classes to be counted in: lower batch_size"
            )
        num_classes = self.labels.num_classes
        counted = countable(truth, prediction, num_classes=num_classes)
        whole = overlap(*counted, num_classes=num_classes)
        others = _others(whole)
        if self.void_predictions:
            on_void = self._on_void(truth, prediction, size)
            whole = whole._replace(prediction=whole.prediction + on_void)
            beside = on_void.sum(axis=1, keepdims=True) - on_void
            others = others._replace(prediction=others.prediction + beside)
        is_episode = self._is_episode(whole)
        foreground, background = (
            total(jax.tree.map(lambda n: jnp.where(is_episode, n, 0), counts))
            for counts in (whole, others)
        )
        return jax.tree.map(
            lambda front, back: front.at[self.background].set(back.sum()),
            foreground,
            background,
        )

    def _on_void(
        self, truth: jax.Array, prediction: jax.Array, size: jax.Array | None
    ) -> jax.Array:
        """Predicted pixels [B, C] where pictures, not their padding, have no label."""
        num_classes = self.labels.num_classes
        is_void = ~labelled(truth, num_classes=num_classes)
        if size is not None:
            is_void &= inside(size, truth.shape[1:])
        ids = jnp.where(is_void, prediction.astype(jnp.int32), NOWHERE)
        return histogram(ids, num_bins=num_classes)

    def _is_episode(self, whole: Overlap) -> jax.Array:
        """Tells which classes have an episode in which picture, bool [B, C]."""
        classes = jnp.arange(self.labels.num_classes)
        of_fold = jnp.isin(classes, jnp.array(self.fold))
        held = of_fold & (whole.truth > 0)
        others = jnp.where(classes == self.background, 0, whole.truth)
        is_alone = others.sum(axis=1, keepdims=True) == 0
        predicted = of_fold & (whole.prediction > 0)
        # Any class serves where there is none: only background is counted.
        nothing = ~predicted.any(axis=1, keepdims=True) & (classes == self.fold[0])
        return held | is_alone & (predicted | nothing)

    def scores(self, totals: Overlap) -> dict[str, Any]:
        """Returns class_fold_iou [C], NaN outside of the fold, fold_mean_iou, fb_iou.

        A class without a pixel has IoU 0, as in their code.
        """
        fold = list(self.fold)
        of_fold = Overlap(*(counts[fold] for counts in totals))
        rows = _iou(of_fold)
        foreground = _iou(Overlap(*(counts.sum() for counts in of_fold)))
        background = _iou(Overlap(*(counts[self.background] for counts in totals)))
        class_iou = np.full(len(totals.both), np.nan)
        class_iou[fold] = rows
        return {
            "class_fold_iou": class_iou,
            "fold_mean_iou": float(rows.mean()),
            "fb_iou": float(foreground + background) / 2,
        }


def as_ids(binary: jax.Array, classes: jax.Array, *, background: int = 0) -> jax.Array:
    """Writes the train ids of episodes into their binary maps.

    Args:
        binary: [B, H, W] integers, 1 for the class, 0 for the background; others stay.
        classes: [B] train id of each episode's class.
        background: its train id.

    Returns:
        [B, H, W] int32.
    """
    binary, classes = binary.astype(jnp.int32), classes.astype(jnp.int32)
    ids = jnp.where(binary == 1, classes[:, None, None], binary)
    return jnp.where(binary == 0, background, ids)


def _others(counts: Overlap) -> Overlap:
    """From pixels of each class to those of all others, [B, C]."""
    pixels = counts.truth.sum(axis=1, keepdims=True)
    either = counts.truth + counts.prediction - counts.both
    return Overlap(pixels - counts.truth, pixels - counts.prediction, pixels - either)


def _iou(counts: Overlap) -> np.ndarray:
    return iou.intersection_over_union(
        counts.both, counts.truth, counts.prediction, absent=0.0
    )
