"""How well things are told from the background, whatever they are: `FMeasure`."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.labels import LabelSet
from jaxseg.metrics import picture
from jaxseg.metrics.overlap import countable

# Values are added up as integers, so that no order of adding changes the sum.
UNIT = 1_000_000


class FMeasureCounts(NamedTuple):
    """Pictures, and the sum of their values in millionths; int []."""

    pictures: jax.Array
    millionths: jax.Array


@dataclasses.dataclass(frozen=True)
class FMeasure:
    """The F-measure of the foreground of each picture, averaged over pictures.

    With precision P and recall R of the pixels of all classes but the background,

        F = (1 + b2) P R / (b2 P + R),

    0 if truth or prediction has no foreground. Achanta et al. 2009, "Frequency-tuned
    Salient Region Detection"; Gao et al. 2022.

    Attributes:
        labels: the classes.
        background: the class that is not foreground.
        beta_squared: b2; below 1, precision weighs more.
        with_unlabelled: count a picture without a labelled pixel, as 0, as the
            evaluator of LUSS does, instead of leaving it out.
    """

    labels: LabelSet
    background: int = 0
    beta_squared: float = 0.3
    with_unlabelled: bool = False

    def count(
        self, truth: jax.Array, prediction: jax.Array, size: jax.Array | None = None
    ) -> FMeasureCounts:
        """Sums the pictures of a batch, of which there may be 2000 at most.

        Raises:
            ValueError: if there are more, whose sum int32 might not hold.
        """
        if len(truth) > 2000:
            raise ValueError(f"at most 2000 pictures in a batch, got {len(truth)}")
        num_classes = self.labels.num_classes
        truth, prediction = countable(truth, prediction, num_classes=num_classes)
        is_true, is_predicted = self._foreground(truth), self._foreground(prediction)
        hits = _area(is_true & is_predicted)
        weighted = self.beta_squared * _area(is_true) + _area(is_predicted)
        values = (1 + self.beta_squared) * hits / jnp.maximum(weighted, 1e-6)
        counts = picture.scored(truth, size, with_unlabelled=self.with_unlabelled)
        millionths = jnp.round(values * UNIT).astype(jnp.int32)
        return FMeasureCounts(jnp.sum(counts), jnp.sum(millionths * counts))

    def scores(self, totals: FMeasureCounts) -> dict[str, float]:
        """Returns f_measure; NaN without a picture."""
        if not totals.pictures:
            return {"f_measure": np.nan}
        return {"f_measure": float(totals.millionths / UNIT / totals.pictures)}

    def _foreground(self, ids: jax.Array) -> jax.Array:
        inside = (ids >= 0) & (ids < self.labels.num_classes)
        return inside & (ids != self.background)


def _area(mask: jax.Array) -> jax.Array:
    return jnp.sum(mask, axis=(1, 2)).astype(jnp.float32)
