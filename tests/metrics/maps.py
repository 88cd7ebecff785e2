"""Random maps of ids that look a little like pictures, for the tests of measures."""

import functools

import jax
import numpy as np

from jaxseg.data.labels import LabelSet


def labels(num_classes, **split):
    names = tuple(f"class {i}" for i in range(num_classes))
    return LabelSet(names, tuple((i, 0, 0) for i in range(num_classes)), **split)


def blobs(seed, shape, num_classes, *, cell=4):
    """[B, H, W] int32, in squares of equal ids."""
    batch, height, width = shape
    cells = (batch, -(-height // cell), -(-width // cell))
    ids = np.random.default_rng(seed).integers(0, num_classes, cells)
    ids = ids.repeat(cell, axis=1).repeat(cell, axis=2)
    return ids[:, :height, :width].astype(np.int32)


def pair(seed=0, shape=(4, 19, 23), num_classes=5, *, ignored=0.1):
    """A truth with unlabelled pixels, and a prediction that is right in places."""
    rng = np.random.default_rng(seed)
    truth = blobs(seed, shape, num_classes)
    prediction = np.where(rng.random(shape) < 0.7, truth, blobs(seed + 1, shape, 5))
    prediction = prediction % num_classes
    truth[blobs(seed + 2, shape, 1000) < 1000 * ignored] = 255
    return truth, prediction.astype(np.int32)


def sums(*counts):
    """What an evaluation adds up: int64 on the host."""
    counts = [jax.tree.map(lambda leaf: np.asarray(leaf, np.int64), c) for c in counts]
    return jax.tree.map(lambda *leaves: sum(leaves), *counts)


def count_all(measure, truth, prediction, size=None):
    """The sum of a split of one batch, by the compiled count."""
    return sums(_compiled(measure)(truth, prediction, size))


@functools.cache
def _compiled(measure):
    return jax.jit(measure.count)
