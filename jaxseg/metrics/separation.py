"""How far apart vectors of different classes lie: `separation`.

By cosines, which is what pixel contrast trains. No matrix of all pairs is made: means
over classes are products with the sums of the classes.
"""

from typing import NamedTuple

import numpy as np


class Separation(NamedTuple):
    """Three numbers about vectors of several classes.

    Attributes:
        silhouette: mean over the vectors, -1 to 1; 0 where classes lie on each other.
        within: mean cosine of two different vectors of one class, then over classes.
        between: mean cosine of two vectors of two classes, then over pairs of classes.
    """

    silhouette: float
    within: float
    between: float


def separation(vectors: np.ndarray, classes: np.ndarray) -> Separation:
    """Measures how well classes are apart.

    The silhouette (Rousseeuw 1987) of a vector is (b - a) / max(a, b), where a is its
    mean distance, 1 - cosine, to the others of its class and b the smallest mean
    distance to a class that is not its own; it is 0 for the only one of its class.

    Args:
        vectors: [N, D], of any length but 0.
        classes: [N] integer ids.

    Returns:
        NaN for what is not defined: all three without two classes, `within` if no class
        has two vectors.

    Raises:
        ValueError: if the shapes do not fit.
    """
    vectors, classes = np.asarray(vectors, np.float64), np.asarray(classes)
    if vectors.ndim != 2 or classes.shape != vectors.shape[:1]:
        raise ValueError(
            f"need vectors [N, D] and classes [N], got {vectors.shape} and "
            f"{classes.shape}"
        )
    found, own, counts = np.unique(classes, return_inverse=True, return_counts=True)
    if len(found) < 2:
        return Separation(np.nan, np.nan, np.nan)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    membership = np.eye(len(found))[own]  # [N, C]
    sums = unit @ (unit.T @ membership)  # [N, C] cosines with all of a class
    within, between = _mean_cosines(membership.T @ sums, counts)
    return Separation(_silhouette(sums, own, counts), within, between)


def _mean_cosines(sums: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Of sums of cosines between classes [C, C]; a vector with itself is left out."""
    several = counts > 1
    pairs = counts * (counts - 1)
    within = (np.diag(sums) - counts)[several] / pairs[several]
    means = sums / np.outer(counts, counts)
    others = means[~np.eye(len(counts), dtype=bool)]
    return float(within.mean()) if several.any() else np.nan, float(others.mean())


def _silhouette(sums: np.ndarray, own: np.ndarray, counts: np.ndarray) -> float:
    """Of each vector's sums of cosines with the classes [N, C]."""
    rows = np.arange(len(own))
    distances = 1 - sums / counts
    others = np.maximum(counts[own] - 1, 1)
    # It lies at distance 0 from itself, which does not count.
    inner = (counts[own] - sums[rows, own]) / others
    distances[rows, own] = np.inf
    outer = distances.min(axis=1)
    scores = (outer - inner) / np.maximum(np.maximum(inner, outer), 1e-12)
    return float(np.where(counts[own] > 1, scores, 0).mean())
