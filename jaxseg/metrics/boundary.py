"""IoU of the strips along the borders of classes: `BoundaryIoU`, then `boundary`.

Cheng et al. 2021, "Boundary IoU: Improving Object-Centric Image Segmentation
Evaluation". With G_d the pixels of a mask G no further than d from its outside,

    boundary IoU(G, P) = |G_d and P_d| / |G_d or P_d|,

where near means within the (2d + 1) x (2d + 1) square, and outside the picture is
outside of every mask. The authors erode one mask per class; here one map of ids gives
the strips of all classes at once.
"""

import bisect
import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.data.labels import LabelSet
from jaxseg.metrics import iou
from jaxseg.metrics.overlap import NOWHERE, Overlap, countable, overlap, total

OUTSIDE = np.iinfo(np.int32).min  # the id of what is no part of the picture


@dataclasses.dataclass(frozen=True)
class BoundaryIoU:
    """Boundary IoU of each class over the whole split, and its mean (b-mIoU).

    Attributes:
        labels: the classes.
        ratio: the strip's width d as a share of the picture's diagonal; 0.03 is LUSS's
            (Gao et al. 2022), Cheng et al. take 0.02.
        absent_as_zero: count a class without a strip as 0, as LUSS does, instead of
            leaving it out of the mean.
    """

    labels: LabelSet
    ratio: float = 0.03
    absent_as_zero: bool = False

    def count(
        self, truth: jax.Array, prediction: jax.Array, size: jax.Array | None = None
    ) -> Overlap:
        """Counts the pixels of the strips, int32 [C] each."""
        num_classes = self.labels.num_classes
        strips = boundary_maps(
            truth, prediction, size, ratio=self.ratio, num_classes=num_classes
        )
        return total(overlap(*strips, num_classes=num_classes))

    def scores(self, totals: Overlap) -> dict[str, Any]:
        """Returns class_boundary_iou [C] and mean_boundary_iou."""
        absent = 0.0 if self.absent_as_zero else np.nan
        rows = iou.intersection_over_union(
            totals.both, totals.truth, totals.prediction, absent=absent
        )
        return {"class_boundary_iou": rows, "mean_boundary_iou": iou.mean(rows)}


def boundary_maps(
    truth: jax.Array,
    prediction: jax.Array,
    size: jax.Array | None,
    *,
    ratio: float,
    num_classes: int,
) -> tuple[jax.Array, jax.Array]:
    """Keeps the strips of both maps where pixels are labelled.

    Unlabelled pixels go last: next to them a class ends, and has a strip.

    Args:
        truth: [B, H, W] integer ids.
        prediction: [B, H, W] integer ids.
        size: [B, 2] of each picture; None if all fill [H, W].
        ratio: of d to the diagonal.
        num_classes: C.

    Returns:
        int32 [B, H, W] truth and prediction, -1 off the strips and where unlabelled.
    """
    counted = countable(truth, prediction, num_classes=num_classes)
    if size is None:
        size = jnp.broadcast_to(jnp.array(truth.shape[1:]), (len(truth), 2))
    reach = thickness(size, ratio=ratio, canvas=truth.shape[1:])
    strips = [boundary(ids, reach, size) for ids in (truth, prediction)]
    truth, prediction = (
        jnp.where(strip, ids, NOWHERE)
        for strip, ids in zip(strips, counted, strict=True)
    )
    return truth, prediction


def boundary(ids: jax.Array, reach: jax.Array, size: jax.Array) -> jax.Array:
    """Finds the pixels with another id, or the outside, in the square around them.

    That is each class's mask without its erosion. A pixel is inside if its run of
    equal ids along the row goes on for d pixels both ways and, along the column, d
    pixels both ways are inside in that sense and have its id. Runs are found by a
    running maximum, so that the time does not depend on d.

    Args:
        ids: [B, H, W] integers.
        reach: [B] int, d of each picture.
        size: [B, 2] int, height and width of each picture, at the top left.

    Returns:
        [B, H, W] bool; false outside of the picture.
    """
    _, height, width = ids.shape
    inside = jnp.arange(height)[:, None] < size[:, :1, None]
    inside &= jnp.arange(width) < size[:, 1:, None]
    ids = jnp.where(inside, ids.astype(jnp.int32), OUTSIDE)
    reach = reach[:, None, None]

    same = ids[:, :, 1:] == ids[:, :, :-1]
    inner = _in_run(same, reach, axis=2)
    same = (ids[:, 1:] == ids[:, :-1]) & inner[:, 1:] & inner[:, :-1]
    inner &= _in_run(same, reach, axis=1)
    return inside & ~inner


def _in_run(same: jax.Array, reach: jax.Array, *, axis: int) -> jax.Array:
    """Where a run goes on for `reach` pixels both ways; `same` joins neighbours."""
    before = [(0, 0)] * same.ndim
    after = list(before)
    before[axis], after[axis] = (1, 0), (0, 1)
    starts, ends = jnp.pad(~same, before), jnp.pad(~same, after)
    index = lax.broadcasted_iota(jnp.int32, starts.shape, axis)
    last = starts.shape[axis] - 1
    start = lax.cummax(jnp.where(starts, index, 0), axis)
    end = lax.cummin(jnp.where(ends, index, last), axis, reverse=True)
    return (index - start >= reach) & (end - index >= reach)


def thickness(size: jax.Array, *, ratio: float, canvas: tuple[int, ...]) -> jax.Array:
    """The strip's width, d = max(1, round(ratio * diagonal)), rounding half to even.

    Exact for any size, by comparing squared diagonals with the least that gives each d.

    Args:
        size: [B, 2] int, at most 32767.
        ratio: of d to the diagonal.
        canvas: (H, W), constants no smaller than any size.

    Returns:
        [B] int32.
    """

    def width(square: int) -> int:
        return round(ratio * math.sqrt(square))

    most = canvas[0] ** 2 + canvas[1] ** 2
    squares = range(most + 1)
    least = [
        bisect.bisect_left(squares, d, key=width) for d in range(2, width(most) + 1)
    ]
    squared = jnp.sum(size.astype(jnp.int32) ** 2, axis=-1)
    return 1 + jnp.sum(squared[:, None] >= jnp.array(least, jnp.int32), axis=-1)
