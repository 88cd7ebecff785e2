"""IoU by how much of its picture a class covers: `IoUBySize`, `BoundaryIoUBySize`.

Gao et al. 2022, "Large-scale Unsupervised Semantic Segmentation", and their evaluator.
A class that covers n of the N labelled pixels of a picture is

    small          if n <= N / 20,
    medium small   if n <= N / 4,
    medium large   if n <= N / 2,
    large          otherwise.

Pixels of a picture count for a size if their true class has that size there; those of
the background count for every size that occurs in the picture. So a false positive on
an object of another size costs nothing, one on the background costs all sizes.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.labels import LabelSet
from jaxseg.metrics import iou
from jaxseg.metrics.boundary import boundary_maps
from jaxseg.metrics.overlap import NOWHERE, Overlap, countable, histogram, total

SIZES = ("small", "medium_small", "medium_large", "large")
_EVERY = len(SIZES)  # the background's group


@dataclasses.dataclass(frozen=True)
class IoUBySize:
    """Mean IoU of the small, medium and large things of a split.

    Attributes:
        labels: the classes.
        background: the class that is of no size; None if there is none.
    """

    labels: LabelSet
    background: int | None = 0

    def count(
        self, truth: jax.Array, prediction: jax.Array, size: jax.Array | None = None
    ) -> Overlap:
        """Counts pixels by size, int32 [4, C] each."""
        num_classes = self.labels.num_classes
        counted = countable(truth, prediction, num_classes=num_classes)
        return overlap_by_size(
            counted[0], *counted, num_classes=num_classes, background=self.background
        )

    def scores(self, totals: Overlap) -> dict[str, Any]:
        """Returns small_iou, ... and class_small_iou [C], ...; see `_by_size`."""
        return _by_size(totals, "iou")


@dataclasses.dataclass(frozen=True)
class BoundaryIoUBySize:
    """The same of the strips along borders; see `boundary.BoundaryIoU`.

    Attributes:
        labels: the classes.
        background: the class that is of no size; None if there is none.
        ratio: the strip's width as a share of the picture's diagonal.
    """

    labels: LabelSet
    background: int | None = 0
    ratio: float = 0.03

    def count(
        self, truth: jax.Array, prediction: jax.Array, size: jax.Array | None = None
    ) -> Overlap:
        """Counts pixels of strips by the size of the whole, int32 [4, C] each."""
        num_classes = self.labels.num_classes
        whole, _ = countable(truth, prediction, num_classes=num_classes)
        strips = boundary_maps(
            truth, prediction, size, ratio=self.ratio, num_classes=num_classes
        )
        return overlap_by_size(
            whole, *strips, num_classes=num_classes, background=self.background
        )

    def scores(self, totals: Overlap) -> dict[str, Any]:
        """Returns small_boundary_iou, ... and class_small_boundary_iou [C], ..."""
        return _by_size(totals, "boundary_iou")


def overlap_by_size(
    whole: jax.Array,
    truth: jax.Array,
    prediction: jax.Array,
    *,
    num_classes: int,
    background: int | None,
) -> Overlap:
    """Counts the pixels of each class by the size that their true class has.

    Args:
        whole: [B, H, W] true ids, which decide on sizes; -1 where unlabelled.
        truth: [B, H, W] true ids where they are to be counted, else -1.
        prediction: [B, H, W] predicted ids where they are to be counted, else -1.
        num_classes: C.
        background: the class that is of no size, or None.

    Returns:
        int32 [4, C] each, sizes in the order of `SIZES`.
    """
    areas = histogram(whole, num_bins=num_classes)  # [B, C]
    sizes = size_of_classes(areas, background=background)
    occurs = jnp.any(
        (areas > 0)[:, None] & (sizes[:, None] == jnp.arange(_EVERY)[:, None]), axis=2
    )  # [B, 4]
    rows = jnp.maximum(whole, 0).reshape(len(whole), -1)
    group = jnp.take_along_axis(sizes, rows, axis=1).reshape(whole.shape)

    def by_size(ids: jax.Array) -> jax.Array:
        inside = (whole >= 0) & (ids >= 0) & (ids < num_classes)
        cell = jnp.where(inside, group * num_classes + ids, NOWHERE)
        cells = histogram(cell, num_bins=(_EVERY + 1) * num_classes)
        cells = cells.reshape(len(ids), _EVERY + 1, num_classes)
        return cells[:, :-1] + occurs[:, :, None] * cells[:, -1:]  # [B, 4, C]

    both = jnp.where(truth == prediction, truth, NOWHERE)
    return total(Overlap(by_size(truth), by_size(prediction), by_size(both)))


def size_of_classes(areas: jax.Array, *, background: int | None) -> jax.Array:
    """Sorts the classes of a picture by their share of it.

    Args:
        areas: [B, C] int, pixels of each class.
        background: the class that is of no size, or None.

    Returns:
        [B, C] int32: 0 to 3 in the order of `SIZES`, 4 for the background.
    """
    # n <= N / 20 is the same as n <= floor(N / 20), which cannot overflow.
    limits = jnp.sum(areas, axis=1, keepdims=True) // jnp.array([20, 4, 2])  # [B, 3]
    sizes = jnp.sum(areas[:, :, None] > limits[:, None], axis=2)
    if background is None:
        return sizes
    return jnp.where(jnp.arange(areas.shape[1]) == background, _EVERY, sizes)


def _by_size(totals: Overlap, name: str) -> dict[str, Any]:
    """IoU of each class by size, NaN if none of it has that size, and the means."""
    rows = iou.intersection_over_union(
        totals.both, totals.truth, totals.prediction, absent=np.nan
    )
    rows = np.where(totals.truth > 0, rows, np.nan)  # only predicted: not of this size
    of_classes = {f"class_{s}_{name}": row for s, row in zip(SIZES, rows, strict=True)}
    means = {f"{s}_{name}": iou.mean(row) for s, row in zip(SIZES, rows, strict=True)}
    return {**of_classes, **means}
