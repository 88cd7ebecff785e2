"""What a confusion matrix says at a glance: rates, the worst pairs, a heat map."""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

RARE = 1e-4  # share of the labelled pixels below which a class's rates are noise
HEAT = (47, 111, 219)
MOST_CELLS = 400  # of a heat map, a side


class Pair(NamedTuple):
    """Pixels of one class that were taken for another.

    Attributes:
        truth: their class.
        prediction: what they were taken for.
        rate: their share of the pixels of `truth`.
        pixels: how many there are.
    """

    truth: int
    prediction: int
    rate: float
    pixels: int


def rates(confusion: np.ndarray) -> np.ndarray:
    """Divides each row by its sum.

    Args:
        confusion: integer [C, C], rows truth.

    Returns:
        float64 [C, C]; rows of classes without pixels are 0.
    """
    confusion = np.asarray(confusion)
    return confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)


def worst_pairs(confusion: np.ndarray, *, limit: int = 12) -> list[Pair]:
    """Lists the confusions that take the largest share of a class.

    Classes of less than `RARE` of all pixels are left out.

    Args:
        confusion: integer [C, C], rows truth.
        limit: how many at most.

    Returns:
        Pairs of different classes, the worst first; none if nothing is wrong.
    """
    confusion = np.asarray(confusion)
    wrong = rates(confusion)
    np.fill_diagonal(wrong, 0)
    wrong[confusion.sum(axis=1) < RARE * confusion.sum()] = 0
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    cells = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [
        Pair(int(t), int(p), float(wrong[t, p]), int(confusion[t, p]))
        for t, p in cells
        if wrong[t, p] > 0
    ]


def heat_map(confusion: np.ndarray) -> bytes:
    """Draws the rates, one pixel a cell, opaque where they are 1.

    The root of a rate is drawn, so that rare confusions can be seen, in steps of 1/16.
    Beyond `MOST_CELLS` classes a pixel is the largest rate of a block of cells.

    Args:
        confusion: integer [C, C], rows truth.

    Returns:
        a PNG file that is transparent where nothing is, to lie on light and dark.
    """
    shown = _shrunk(rates(confusion))
    alpha = np.round(16 * np.sqrt(shown)) / 16 * 255
    pixels = np.empty((*shown.shape, 4), np.uint8)
    pixels[..., :3] = HEAT
    pixels[..., 3] = alpha
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return file.getvalue()


def _shrunk(values: np.ndarray) -> np.ndarray:
    block = -(-len(values) // MOST_CELLS)
    side = -(-len(values) // block)
    padded = np.zeros((side * block,) * 2)
    padded[: len(values), : len(values)] = values
    return padded.reshape(side, block, side, block).max(axis=(1, 3))
