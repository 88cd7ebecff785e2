"""What a score is to an evaluation: counts that add up, and numbers made of them.

A config names measures beside those of the confusion matrix,

    config.evals.val.measures = (dict(name="boundary.BoundaryIoU", ratio=0.02),)

and each is built with the labels of the data set. `count` becomes part of the compiled
evaluation step; what it returns is added up over batches, devices and hosts in int64;
`scores` sees the sum. So no score depends on how a split was cut into batches, and
counts beyond 2^24, where float32 stops counting, are exact.

Rules that all measures share:

- A pixel whose true id is outside [0, C) does not count, whatever is predicted there:
  every mark of "unlabelled" is such an id, be it 255, 65535 or -1.
- Scores are fractions, NaN where nothing defines them.
- A picture that only fills up a batch is all unlabelled, and so counts nowhere.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import numpy as np


class Measure(Protocol):
    """A score, or some that share their counts."""

    def count(
        self, truth: jax.Array, prediction: jax.Array, size: jax.Array | None = None
    ) -> Any:
        """Counts a batch; a pure function, compiled with the step.

        Args:
            truth: [B, H, W] integer class ids.
            prediction: [B, H, W] integer class ids.
            size: [B, 2] int, the height and width of each picture where the batch pads
                them at the bottom and the right, 0 for one that only fills up the
                batch; None if all fill [H, W]. Padding is unlabelled in `truth`, too.

        Returns:
            A PyTree of int32 arrays, which add up.
        """

    def scores(self, totals: Any) -> Mapping[str, float | np.ndarray]:
        """Turns the sum of all counts into scores, on the host.

        Args:
            totals: the PyTree of `count` with NumPy int64 arrays.

        Returns:
            Scores by name, unlike those of every other measure.
        """


def labelled(truth: jax.Array, *, num_classes: int) -> jax.Array:
    """Tells which pixels count: bool, of the shape of the true ids."""
    return (truth >= 0) & (truth < num_classes)


def check_same_shape(truth: jax.Array, prediction: jax.Array) -> None:
    """Refuses a prediction of another size than the truth.

    Raises:
        ValueError: naming both shapes.
    """
    if truth.shape != prediction.shape:
        raise ValueError(
            f"truth {truth.shape} and prediction {prediction.shape} must have the same "
            "shape: resize the logits to the labels before taking class ids"
        )
