"""The confusion matrix of a split, counted on the devices.

`Confusion` is the measure, `confusion_matrix` the function below it.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.labels import LabelSet
from jaxseg.metrics import iou
from jaxseg.metrics.measure import check_same_shape, labelled


@dataclasses.dataclass(frozen=True)
class Confusion:
    """The scores of `iou.scores`, from one matrix over the whole split.

    Attributes:
        labels: the classes; those seen and unseen are also scored apart.
        absent_as_zero: as in `iou.scores`.
    """

    labels: LabelSet
    absent_as_zero: bool = False

    def count(
        self, truth: jax.Array, prediction: jax.Array, size: jax.Array | None = None
    ) -> jax.Array:
        """Returns the matrix, int32 [C, C]; padding needs no size, it is unlabelled."""
        return confusion_matrix(truth, prediction, num_classes=self.labels.num_classes)

    def scores(self, totals: np.ndarray) -> dict[str, Any]:
        return iou.scores(
            totals,
            seen=self.labels.seen,
            unseen=self.labels.unseen,
            absent_as_zero=self.absent_as_zero,
        )


def confusion_matrix(
    labels: jax.Array,
    predictions: jax.Array,
    *,
    num_classes: int,
    num_clusters: int | None = None,
) -> jax.Array:
    """Counts pixels by true class (row) and predicted class (column).

    Add the counts of a whole split up on the host in int64: int32 holds 2^31 pixels,
    enough for one batch but not for every data set.

    Args:
        labels: [...] integer ids of the truth; pixels outside [0, C) do not count.
        predictions: [...] integer ids; pixels outside [0, K) do not count either.
        num_classes: C.
        num_clusters: K, where predicted ids are not those of classes; otherwise C.

    Returns:
        [C, K] int32 counts, all 0 if no pixel counts.

    Raises:
        ValueError: if the shapes differ.
    """
    check_same_shape(labels, predictions)
    num_clusters = num_clusters or num_classes
    truth = labels.astype(jnp.int32).ravel()  # uint8 would overflow below
    predicted = predictions.astype(jnp.int32).ravel()
    counts = labelled(truth, num_classes=num_classes)
    counts &= labelled(predicted, num_classes=num_clusters)
    cell = jnp.where(counts, truth * num_clusters + predicted, -1)  # -1 is dropped
    total = jax.ops.segment_sum(jnp.ones_like(cell), cell, num_classes * num_clusters)
    return total.reshape(num_classes, num_clusters)
