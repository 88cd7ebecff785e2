"""Segmentation read as classification of whole pictures: `ImageAccuracy`."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.labels import LabelSet
from jaxseg.metrics import picture
from jaxseg.metrics.overlap import countable, histogram


class ImageAccuracyCounts(NamedTuple):
    """Pictures, and those that were right; int []."""

    pictures: jax.Array
    right: jax.Array


@dataclasses.dataclass(frozen=True)
class ImageAccuracy:
    """The share of pictures whose largest predicted class is there in truth.

    Predicted is the class, not the background, with most labelled pixels, the first of
    those that tie. The picture is right if any of its pixels has that class, wrong if
    nothing but background is predicted. Gao et al. 2022 (Img-Acc).

    Attributes:
        labels: the classes.
        background: the class that is never the answer; None if there is none.
        with_unlabelled: count a picture without a labelled pixel, as wrong, as the
            evaluator of LUSS does, instead of leaving it out.
    """

    labels: LabelSet
    background: int | None = 0
    with_unlabelled: bool = False

    def count(
        self, truth: jax.Array, prediction: jax.Array, size: jax.Array | None = None
    ) -> ImageAccuracyCounts:
        """Counts the pictures of a batch."""
        num_classes = self.labels.num_classes
        truth, prediction = countable(truth, prediction, num_classes=num_classes)
        present = histogram(truth, num_bins=num_classes) > 0  # [B, C]
        areas = histogram(prediction, num_bins=num_classes)
        if self.background is not None:
            areas = areas.at[:, self.background].set(0)
        answer = jnp.argmax(areas, axis=1)[:, None]
        right = jnp.take_along_axis(present & (areas > 0), answer, axis=1)[:, 0]
        counts = picture.scored(truth, size, with_unlabelled=self.with_unlabelled)
        return ImageAccuracyCounts(jnp.sum(counts), jnp.sum(right & counts))

    def scores(self, totals: ImageAccuracyCounts) -> dict[str, float]:
        """Returns image_accuracy; NaN without a picture."""
        if not totals.pictures:
            return {"image_accuracy": np.nan}
        return {"image_accuracy": float(totals.right / totals.pictures)}
