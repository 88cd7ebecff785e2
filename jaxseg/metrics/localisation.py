"""Boxes of things and how well one is found: `object_boxes`, `box_iou`, on the host.

CorLoc is the share of pictures in which the one box that a method gives has an IoU of
at least 0.5 with some true box (Deselaers et al. 2010).
"""

import numpy as np
from scipy import ndimage

CORNERS = np.ones((3, 3), int)  # pixels are neighbours across corners, too


def box_iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with others.

    Args:
        box: [4] left, top, right, bottom, the last two exclusive.
        boxes: [N, 4] alike.

    Returns:
        float64 [N]; 0 where both are empty.
    """
    box, boxes = np.asarray(box, float), np.asarray(boxes, float).reshape(-1, 4)
    first = np.maximum(box[:2], boxes[:, :2])
    last = np.minimum(box[2:], boxes[:, 2:])
    both = np.prod(np.maximum(last - first, 0), axis=1)
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    either = np.prod(np.maximum(box[2:] - box[:2], 0)) + areas - both
    return both / np.where(either > 0, either, 1)


def object_boxes(
    label: np.ndarray, *, num_classes: int, background: int, least_share: float
) -> np.ndarray:
    """Boxes of the things in a mask of classes, which does not tell things apart.

    A thing is a connected component of the pixels of a class, across corners; two of a
    class that touch are one, and one that something hides in part is two.

    Args:
        label: [H, W] integer class ids; ids outside of the classes are of nothing.
        num_classes: C.
        background: the class that is no thing.
        least_share: of the picture's pixels that a thing has. Where none has as many,
            the largest counts.

    Returns:
        int [N, 4] left, top, right, bottom, the last two exclusive; N is 0 only where
        there is nothing but background.
    """
    boxes, areas = [], []
    for c in np.unique(label):
        if c == background or not 0 <= c < num_classes:
            continue
        components, _ = ndimage.label(label == c, CORNERS)
        areas += np.bincount(components.ravel())[1:].tolist()
        for rows, columns in ndimage.find_objects(components):
            boxes.append((columns.start, rows.start, columns.stop, rows.stop))
    if not boxes:
        return np.zeros((0, 4), int)
    large = np.array(areas) >= least_share * label.size
    if not large.any():
        large = np.arange(len(areas)) == np.argmax(areas)
    return np.array(boxes)[large]


def largest_component_box(mask: np.ndarray) -> np.ndarray:
    """The box [4] of the largest connected component of a mask [H, W]; 0 of none."""
    components, count = ndimage.label(mask, CORNERS)
    if not count:
        return np.zeros(4, int)
    largest = np.argmax(np.bincount(components.ravel())[1:])
    rows, columns = ndimage.find_objects(components)[largest]
    return np.array([columns.start, rows.start, columns.stop, rows.stop])
