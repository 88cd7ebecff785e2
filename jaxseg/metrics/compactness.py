"""How compact the objects of a class are: `compactness`, and `regions` to measure.

With A the pixels of a region and L its unit edges towards what is not in it,

    compactness = 4 pi A / L^2,

pi / 4 for a square, less for a thin or ragged shape. In pixels a disc has pi^2 / 16,
less than a square: L counts stairs. Liu et al. 2023 (SAZS) find that shape helps
compact classes more; their formula is in no source that we could read, so this is ours.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

_ACROSS_CORNERS = np.ones((3, 3), bool)


class Regions(NamedTuple):
    """Regions of masks, in any order.

    Attributes:
        classes: int [R], the class of each.
        areas: int [R], its pixels, A.
        lengths: int [R], the unit edges of its boundary, L.
    """

    classes: np.ndarray
    areas: np.ndarray
    lengths: np.ndarray


def compactness(areas: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """4 pi A / L^2 of each region.

    Args:
        areas: [R] pixels.
        lengths: [R] unit edges.

    Returns:
        float64 [R] up to pi / 4; NaN where there is no pixel.
    """
    areas = np.asarray(areas, np.float64)
    lengths = np.where(areas > 0, np.asarray(lengths, np.float64), np.nan)
    return 4 * np.pi * areas / lengths**2


def regions(
    labels: np.ndarray, *, num_classes: int, min_pixels: int = 1, whole: bool = False
) -> Regions:
    """Finds the regions of a label map.

    Args:
        labels: [H, W] integer class ids; those outside [0, C) are in no region, and
            other than all classes next to them.
        num_classes: C.
        min_pixels: smaller regions are left out.
        whole: takes each class's whole mask for a region; else each of its parts that
            hang together, across corners too, which is an instance where instances
            do not touch.

    Returns:
        Regions of at least `min_pixels`; the outside of the map counts as other.
    """
    edges = boundary_edges(labels)
    classes, areas, lengths = [], [], []
    for c in np.unique(labels[(labels >= 0) & (labels < num_classes)]):
        mask = labels == c
        parts = mask if whole else ndimage.label(mask, _ACROSS_CORNERS)[0]
        numbers = np.asarray(parts[mask], np.int64) - 1
        areas.append(np.bincount(numbers))
        lengths.append(np.bincount(numbers, weights=edges[mask]).astype(np.int64))
        classes.append(np.full(len(areas[-1]), c, np.int64))
    if not classes:
        return Regions(*(np.zeros(0, np.int64) for _ in range(3)))
    found = Regions(*map(np.concatenate, (classes, areas, lengths)))
    kept = found.areas >= min_pixels
    return Regions(*(values[kept] for values in found))


def boundary_edges(labels: np.ndarray) -> np.ndarray:
    """How many of a pixel's four sides another id, or no pixel, is beyond.

    Two parts of a class that meet in a corner share no side, so that the sum over a
    part is the length of its own boundary.

    Args:
        labels: [H, W] integers.

    Returns:
        int64 [H, W], 0 to 4.
    """
    edges = np.full(labels.shape, 4)
    for axis in (0, 1):
        same = np.diff(labels.astype(np.int64), axis=axis) == 0
        before, after = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        before[axis], after[axis] = (1, 0), (0, 1)
        edges -= np.pad(same, before).astype(np.int64)
        edges -= np.pad(same, after).astype(np.int64)
    return edges


def mean_of_classes(found: Regions, *, num_classes: int) -> np.ndarray:
    """The mean compactness of each class over its regions, [C]; NaN without any."""
    sums = np.bincount(
        found.classes,
        weights=compactness(found.areas, found.lengths),
        minlength=num_classes,
    )
    counts = np.bincount(found.classes, minlength=num_classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
