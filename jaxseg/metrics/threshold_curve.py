"""Scores by the threshold below which a pixel is background: `ThresholdCurve`.

Gao et al. 2022 find pixels of no class by a foreground score, and choose its threshold
on validation pictures. One pass gives the matching and the mean IoU at all thresholds;
for other measures, apply `background_below` and `matching.relabel` at the one chosen.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.data.labels import LabelSet
from jaxseg.metrics import iou
from jaxseg.metrics.confusion import confusion_matrix
from jaxseg.metrics.matching import match, matched
from jaxseg.metrics.overlap import NOWHERE, countable, histogram


class CurveCounts(NamedTuple):
    """Counts from which those at every threshold follow.

    Attributes:
        pictures: [T, K, C] int, the pictures that hold both a cluster, above the
            threshold, and a class.
        confusion: [T + 1, C, K] int, the pixels of a class that lie in a cluster, by
            how many thresholds they reach.
    """

    pictures: Any
    confusion: Any


@dataclasses.dataclass(frozen=True)
class ThresholdCurve:
    """Mean IoU after matching by pictures, at each of some thresholds.

    It is no `Measure`, as it also needs a score per pixel. Memory is T C K counts:
    81 thresholds of 300 classes take 29 MB in int32, of 919 take 274 MB.

    Attributes:
        labels: the classes.
        thresholds: T of them, ascending.
        num_clusters: K, how many ids are predicted; that of the classes if 0.
        background: the class of pixels whose score is below the threshold.
        absent_as_zero: as in `iou.scores`; LUSS does so.
    """

    labels: LabelSet
    thresholds: tuple[float, ...]
    num_clusters: int = 0
    background: int = 0
    absent_as_zero: bool = False

    def __post_init__(self):
        if not self.thresholds or list(self.thresholds) != sorted(self.thresholds):
            raise ValueError(f"thresholds must ascend, got {self.thresholds}")

    def count(
        self, truth: jax.Array, prediction: jax.Array, score: jax.Array
    ) -> CurveCounts:
        """Counts a batch.

        Args:
            truth: [B, H, W] class ids.
            prediction: [B, H, W] ids of clusters.
            score: [B, H, W] float32 foreground scores.
        """
        num_classes = self.labels.num_classes
        num_clusters = self.num_clusters or num_classes
        truth, prediction = countable(truth, prediction, num_classes=num_classes)
        # At threshold t a pixel stays foreground unless score < t, in float32.
        thresholds = jnp.array(self.thresholds, jnp.float32)
        reached = jnp.searchsorted(thresholds, score.astype(jnp.float32), side="right")
        num_bins = len(self.thresholds) + 1
        row = jnp.where(truth >= 0, reached * num_classes + truth, NOWHERE)
        confusion = confusion_matrix(
            row,
            prediction,
            num_classes=num_bins * num_classes,
            num_clusters=num_clusters,
        )
        return CurveCounts(
            self._pictures(truth, prediction, reached, num_clusters),
            confusion.reshape(num_bins, num_classes, num_clusters),
        )

    def _pictures(
        self,
        truth: jax.Array,
        prediction: jax.Array,
        reached: jax.Array,
        num_clusters: int,
    ) -> jax.Array:
        num_bins = len(self.thresholds) + 1
        inside = (prediction >= 0) & (prediction < num_clusters)
        cell = jnp.where(inside, prediction * num_bins + reached, NOWHERE)
        found = histogram(cell, num_bins=num_clusters * num_bins) > 0
        found = found.reshape(len(truth), num_clusters, num_bins)
        # A cluster is there at threshold k if one of its pixels reaches more than k.
        there = lax.cummax(found.astype(jnp.int32), axis=2, reverse=True)[:, :, 1:]
        classes = histogram(truth, num_bins=self.labels.num_classes) > 0
        return jnp.einsum(
            "bkt,bc->tkc",
            there,
            classes.astype(jnp.int32),
            preferred_element_type=jnp.int32,
        )

    def scores(self, totals: CurveCounts) -> dict[str, Any]:
        """Turns the sum of all counts into the curve.

        Returns:
            thresholds [T], curve_mean_iou [T], curve_match [T, K], the class of each
            cluster, and best_threshold, that of the highest mean IoU, the first if
            there are several.
        """
        matches, means = [], []
        for index in range(len(self.thresholds)):
            classes = match(totals.pictures[index], background=self.background)
            confusion = matched(self._confusion(totals.confusion, index), classes)
            scores = iou.scores(confusion, absent_as_zero=self.absent_as_zero)
            matches.append(classes)
            means.append(scores["mean_iou"])
        best = int(np.argmax(np.nan_to_num(means, nan=-1.0)))
        return {
            "thresholds": np.array(self.thresholds),
            "curve_mean_iou": np.array(means),
            "curve_match": np.array(matches),
            "best_threshold": self.thresholds[best],
        }

    def _confusion(self, by_reach: np.ndarray, index: int) -> np.ndarray:
        """The matrix [C, K] at one threshold."""
        confusion = by_reach[index + 1 :].sum(axis=0)
        confusion[:, self.background] += by_reach[: index + 1].sum(axis=(0, 2))
        return confusion


def background_below(
    prediction: jax.Array,
    score: jax.Array,
    threshold: float,
    *,
    background: int = 0,
) -> jax.Array:
    """Makes pixels background whose score is below the threshold.

    Args:
        prediction: [...] integer ids.
        score: [...] float32.
        threshold: compared in float32.
        background: its id.

    Returns:
        [...] int32.
    """
    below = score.astype(jnp.float32) < jnp.float32(threshold)
    return jnp.where(below, background, prediction.astype(jnp.int32))
