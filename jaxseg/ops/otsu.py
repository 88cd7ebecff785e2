"""Otsu's threshold between two kinds of grey (Otsu 1979), on the host: `threshold`."""

import numpy as np

LEVELS = 256


def threshold(grey: np.ndarray) -> int:
    """The grey level that parts pixels into two kinds as unlike as can be.

    With shares w_0, w_1 and means m_0, m_1 of the pixels up to t and beyond it, the
    t with the largest w_0 w_1 (m_0 - m_1)^2, the smallest of equals.

    Args:
        grey: uint8, of any shape.

    Returns:
        t, from 0 to 254; of one level, or of no pixel, 0.
    """
    counts = np.bincount(grey.ravel(), minlength=LEVELS).astype(np.float64)
    total = max(counts.sum(), 1)
    low = np.cumsum(counts)[:-1] / total
    weighted = np.cumsum(counts * np.arange(LEVELS)) / total
    high = 1 - low
    # w_0 w_1 (m_0 - m_1)^2 with m_0 = weighted / w_0 and m the mean of all.
    pull = (weighted[-1] * low - weighted[:-1]) ** 2
    between = np.where(low * high > 0, pull / np.maximum(low * high, 1e-300), 0)
    return int(np.argmax(np.round(between, 9)))


def grey_of(image: np.ndarray) -> np.ndarray:
    """The luma of a picture uint8 [H, W, 3] (Rec. 601), uint8 [H, W]."""
    luma = image @ np.array([0.299, 0.587, 0.114])
    return np.round(luma).astype(np.uint8)
