"""The eigenvectors as Deep Spectral Segmentation computes them, and the exact ones."""

import contextlib
import functools
from collections.abc import Iterator

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import scipy.spatial

from jaxseg.ops.affinity import NEIGHBOURS


def authors_vectors(
    features: np.ndarray, extra: np.ndarray | float, count: int
) -> np.ndarray:
    """v [N, K] of one picture: the authors' steps, in NumPy and float32.

    Args:
        features: [h, w, D].
        extra: lambda W_colour [N, N], or 0.
        count: K, with the constant vector.
    """
    rows = features.reshape(-1, features.shape[-1])
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    weights = rows @ rows.T
    weights = weights * (weights > 0)
    weights = weights / weights.max() + np.float32(extra)
    degrees = weights @ np.ones(len(weights), weights.dtype)
    degrees[degrees < 1e-12] = 1.0
    diagonal = np.array(scipy.sparse.diags(degrees).todense())
    solve = functools.partial(
        scipy.sparse.linalg.eigsh, diagonal - weights, k=count, M=diagonal
    )
    try:
        _, vectors = solve(sigma=0, which="LM")
    except (ValueError, RuntimeError):
        # D - W is singular: now and then its factors hold an exact 0. Theirs, too.
        _, vectors = solve(which="SM")
    return vectors


def neighbours(colours: np.ndarray) -> np.ndarray:
    """W_colour [N, N] of one picture: the authors' two searches, in a k-d tree.

    Args:
        colours: [h, w, 3] in [0, 1].
    """
    h, w, _ = colours.shape
    y, x = np.meshgrid(np.linspace(0, 1, h), np.linspace(0, 1, w), indexing="ij")
    nodes = np.arange(h * w)
    counts = np.zeros((h * w, h * w), np.float32)
    for k, scale in NEIGHBOURS:
        points = np.dstack([colours, scale * x, scale * y]).reshape(h * w, 5)
        _, nearest = scipy.spatial.cKDTree(points).query(points, min(k, h * w))
        # Of one node, the nearest differ from each other: no pair is added twice.
        counts[nodes[:, None], nearest] += 1
    return counts + counts.T


class Exact:
    """The span of the first K eigenvectors, from ARPACK in float64 to rounding."""

    def __init__(self, weights: np.ndarray, count: int):
        weights = np.asarray(weights, np.float64)
        self._root = np.sqrt(weights.sum(axis=1))
        normalised = weights / self._root / self._root[:, None]
        self.theta, self._vectors = scipy.sparse.linalg.eigsh(
            normalised, k=count, which="LA", tol=1e-12
        )

    def sine(self, vectors: np.ndarray) -> float:
        """The sine of the largest angle to the span of v [N, K]."""
        given = np.asarray(vectors, np.float64) * self._root[:, None]
        given, _ = np.linalg.qr(given)
        rest = given - self._vectors @ (self._vectors.T @ given)
        return float(np.linalg.norm(rest, 2))


@contextlib.contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Limits the threads of NumPy's and SciPy's products; None leaves them."""
    if number is None:
        yield
        return
    import threadpoolctl

    with threadpoolctl.threadpool_limits(number):
        yield
