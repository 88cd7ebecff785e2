"""Clusters scored as classes, after the best one-to-one matching: `MatchedIoU`.

Unsupervised segmentation finds clusters that have no names. `match` gives each the
class with which it agrees best in all (Kuhn 1955), `relabel` rewrites a prediction.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from jaxseg.data.labels import LabelSet
from jaxseg.metrics import iou
from jaxseg.metrics.confusion import confusion_matrix
from jaxseg.metrics.overlap import countable, histogram

UNMATCHED = -1


class MatchedCounts(NamedTuple):
    """What matching and scores are made of.

    Attributes:
        pictures: [K, C] int, the pictures that hold both a cluster and a class.
        confusion: [C, K] int, the pixels of a class that lie in a cluster.
    """

    pictures: Any
    confusion: Any


@dataclasses.dataclass(frozen=True)
class MatchedIoU:
    """The scores of `iou.scores` after matching, from one pass over the split.

    Attributes:
        labels: the classes.
        num_clusters: K, how many ids are predicted; that of the classes if 0. Of more
            clusters than classes some match nothing, and their pixels are wrong.
        by: what a cluster and a class share is counted in "pixels", the usual
            clustering accuracy, or in "pictures" that hold both, as LUSS does (Gao et
            al. 2022).
        background: the class that the cluster of the same id stands for, beforehand;
            None if there is none.
        absent_as_zero: as in `iou.scores`.
    """

    labels: LabelSet
    num_clusters: int = 0
    by: Literal["pixels", "pictures"] = "pixels"
    background: int | None = None
    absent_as_zero: bool = False

    def __post_init__(self):
        if self.by not in ("pixels", "pictures"):
            raise ValueError(f'by is {self.by!r}, give "pixels" or "pictures"')

    def count(
        self, truth: jax.Array, prediction: jax.Array, size: jax.Array | None = None
    ) -> MatchedCounts:
        """Counts what clusters and classes share in a batch."""
        num_classes = self.labels.num_classes
        num_clusters = self.num_clusters or num_classes
        counted = countable(truth, prediction, num_classes=num_classes)
        return MatchedCounts(
            cooccurrence(*counted, num_classes=num_classes, num_clusters=num_clusters),
            confusion_matrix(
                *counted, num_classes=num_classes, num_clusters=num_clusters
            ),
        )

    def scores(self, totals: MatchedCounts) -> dict[str, Any]:
        """Returns matched_mean_iou, ..., and match, the class [K] of each cluster."""
        shared = totals.pictures if self.by == "pictures" else totals.confusion.T
        classes = match(shared, background=self.background)
        scores = iou.scores(
            matched(totals.confusion, classes), absent_as_zero=self.absent_as_zero
        )
        return {"match": classes} | {
            f"class_matched_{name.removeprefix('class_')}"
            if name.startswith("class_")
            else f"matched_{name}": value
            for name, value in scores.items()
        }


def cooccurrence(
    truth: jax.Array, prediction: jax.Array, *, num_classes: int, num_clusters: int
) -> jax.Array:
    """Counts the pictures that hold both a cluster and a class.

    Args:
        truth: [B, H, W] true ids; those outside [0, C) do not count.
        prediction: [B, H, W] ids of clusters, -1 where the truth does not count.
        num_classes: C.
        num_clusters: K.

    Returns:
        [K, C] int32.
    """
    classes = histogram(truth, num_bins=num_classes) > 0
    clusters = histogram(prediction, num_bins=num_clusters) > 0
    return jnp.einsum(
        "bk,bc->kc",
        clusters.astype(jnp.int32),
        classes.astype(jnp.int32),
        preferred_element_type=jnp.int32,
    )


def match(shared: np.ndarray, *, background: int | None = None) -> np.ndarray:
    """Gives clusters classes of their own so that what they share is most, in sum.

    Of several such matchings, as with classes that never occur, it returns one.

    Args:
        shared: [K, C] counts.
        background: the id that stands for itself in both, or None.

    Returns:
        [K] int64, the class of each cluster; -1 for those left over if K > C.
    """
    clusters, classes = (np.arange(length) for length in shared.shape)
    result = np.full(len(clusters), UNMATCHED)
    if background is not None:
        result[background] = background
        clusters, classes = (np.delete(ids, background) for ids in (clusters, classes))
    rows, columns = scipy.optimize.linear_sum_assignment(
        shared[np.ix_(clusters, classes)], maximize=True
    )
    result[clusters[rows]] = classes[columns]
    return result


def matched(confusion: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Puts the columns of clusters where their classes are.

    Args:
        confusion: [C, K], rows truth, columns clusters.
        classes: [K] of `match`.

    Returns:
        [C, C + 1]; the last column holds the pixels of clusters without a class.
    """
    num_classes = len(confusion)
    result = np.zeros((num_classes, num_classes + 1), confusion.dtype)
    column = np.where(classes == UNMATCHED, num_classes, classes)
    np.add.at(result.T, column, confusion.T)
    return result


def relabel(prediction: jax.Array, classes: jax.Array) -> jax.Array:
    """Rewrites ids of clusters as those of their classes, for all other measures.

    With more clusters than classes use `MatchedIoU`: a confusion matrix has no place
    for pixels without a class, and leaves them out.

    Args:
        prediction: [...] integer ids of clusters.
        classes: [K] of `match`.

    Returns:
        [...] int32; -1 for ids without a class and outside [0, K).
    """
    ids, classes = prediction.astype(jnp.int32), jnp.asarray(classes, jnp.int32)
    inside = (ids >= 0) & (ids < len(classes))
    return jnp.where(inside, classes[jnp.where(inside, ids, 0)], UNMATCHED)
