"""Feature maps with known kinds of spectra, for the benchmark of eigen-solvers.

Soft regions, each with a prototype, plus a smooth field and noise. The largest
eigenvalues of the normalised affinity, after 1, are about

    A  weak clusters     0.4, 0.4, 0.3, 0.2
    B  strong clusters   0.8, 0.8, 0.7, 0.6
    C  A with ten times the colour neighbours   0.9, 0.9, 0.8, 0.8
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

NUM_REGIONS, SMOOTH_CHANNELS = 6, 16


class Kind(NamedTuple):
    """How a field is made.

    Attributes:
        sharpness: of the borders of regions.
        smooth: weight of the smooth field.
        noise: weight of the noise.
        colour_weight: lambda.
    """

    sharpness: float
    smooth: float
    noise: float
    colour_weight: float


KINDS = {
    "A": Kind(2.0, 0.5, 0.8, 0.0),
    "B": Kind(8.0, 0.1, 0.2, 0.0),
    "C": Kind(2.0, 0.5, 0.8, 10.0),
}


def make(
    kind: Kind, batch: int, side: int, dim: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Pictures of one kind, each another.

    Returns:
        float32 features [B, side, side, D], and colours [B, side, side, 3] in [0, 1] if
        they have a weight.
    """
    pictures = [_picture(kind, side, dim, seed) for seed in range(batch)]
    features, colours = (
        np.stack(each).astype(np.float32) for each in zip(*pictures, strict=True)
    )
    return features, colours if kind.colour_weight else None


def _picture(kind: Kind, side: int, dim: int, seed: int):
    rng = np.random.default_rng(seed)
    scores = kind.sharpness * _smooth(rng, side, NUM_REGIONS, 0.12)
    regions = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    features = regions @ rng.normal(size=(NUM_REGIONS, dim))
    field = _smooth(rng, side, SMOOTH_CHANNELS, 0.08)
    directions = rng.normal(size=(SMOOTH_CHANNELS, dim)) / SMOOTH_CHANNELS**0.5
    features += kind.smooth * field @ directions
    features += kind.noise * rng.normal(size=features.shape)
    tint = regions @ rng.normal(size=(NUM_REGIONS, 3)) * 2
    tint += 0.3 * rng.normal(size=tint.shape)
    return features, 1 / (1 + np.exp(-tint))


def _smooth(rng: np.random.Generator, side: int, channels: int, width: float):
    """[side, side, channels] of variance 1 and a correlation length."""
    noise = rng.normal(size=(channels, side, side))
    maps = [gaussian_filter(each, width * side, mode="reflect") for each in noise]
    return np.stack(maps, axis=-1) / np.std(maps)
