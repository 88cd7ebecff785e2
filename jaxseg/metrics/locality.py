"""How near the name of an unseen class is to those of seen ones: `language_locality`.

The mean of the largest cosines between its embedding and the seen classes'. Liu et al.
2023 (SAZS) relate such a measure to what shape gains; their formula is in no source
that we could read, so this is ours.
"""

from collections.abc import Sequence

import numpy as np

NEAREST = 3


def language_locality(
    embeddings: np.ndarray,
    *,
    seen: Sequence[int],
    unseen: Sequence[int],
    nearest: int = NEAREST,
) -> np.ndarray:
    """Measures each unseen class.

    Args:
        embeddings: [C, E], of any length but 0.
        seen: ids of the classes to compare with.
        unseen: ids of the classes to measure.
        nearest: how many seen classes count, the nearest ones; 0 for all.

    Returns:
        float64 [U] in the order of `unseen`, -1 to 1.

    Raises:
        ValueError: if there are fewer seen classes than are to count, or none.
    """
    if not 0 < max(nearest, 1) <= len(seen):
        raise ValueError(
            f"the nearest {nearest} of {len(seen)} seen classes cannot be had: give "
            "more seen classes, or a smaller number"
        )
    vectors = np.asarray(embeddings, np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.sort(unit[list(unseen)] @ unit[list(seen)].T, axis=1)  # [U, S]
    return cosines[:, -nearest:].mean(axis=1)
