"""Scores from a confusion matrix, on the host and exact for any number of pixels.

Read `scores` first. With H[t, p] the matrix, d its diagonal, n row sums (truth) and m
column sums (prediction):  IoU_c = d_c / (n_c + m_c - d_c),  accuracy_c = d_c / n_c.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

# The averages that are also given for seen and unseen classes apart.
AVERAGES = ("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")


def scores(
    confusion: np.ndarray,
    *,
    seen: Sequence[int] = (),
    unseen: Sequence[int] = (),
    absent_as_zero: bool = False,
) -> dict[str, Any]:
    """Computes all scores of a confusion matrix.

    A class in neither truth nor prediction has no IoU, one that is not in the truth no
    accuracy: they are NaN and left out of the means. A class that is predicted but not
    in the truth has IoU 0.

    Args:
        confusion: integer [C, C], rows truth, columns prediction. Columns beyond C
            hold pixels predicted as no class at all; they count as wrong.
        seen: ids of the classes that had labels in training.
        unseen: ids of those that had none; give both or neither.
        absent_as_zero: count undefined IoU and accuracy as 0, as the evaluator of
            ZS3Net does, instead of leaving them out.

    Returns:
        class_iou, class_accuracy, class_share (of the labelled pixels) float64 [C], and
        the floats mean_iou, pixel_accuracy, mean_accuracy (NaN where nothing is
        labelled) and frequency_weighted_iou (a sum: 0 there). Given seen and unseen
        ids, also each of these floats over their classes in the same matrix and the
        harmonic mean of the two: seen_iou, unseen_iou, harmonic_iou,
        seen_pixel_accuracy, ...

    Raises:
        ValueError: if the matrix is not integer or has fewer columns than rows, or only
            one of seen and unseen is given.
    """
    confusion = _checked(confusion)
    if bool(len(seen)) != bool(len(unseen)):
        raise ValueError(f"give seen and unseen ids or neither: {seen}, {unseen}")
    rows = class_scores(confusion, absent_as_zero=absent_as_zero)
    result: dict[str, Any] = {**rows, **_averages(confusion, rows)}
    if len(seen):
        groups = {
            "seen": _averages(confusion, rows, list(seen)),
            "unseen": _averages(confusion, rows, list(unseen)),
        }
        for name in AVERAGES:
            short = "iou" if name == "mean_iou" else name
            result |= {f"{group}_{short}": groups[group][name] for group in groups}
            result[f"harmonic_{short}"] = harmonic_mean(
                groups["seen"][name], groups["unseen"][name]
            )
    return result


def class_scores(
    confusion: np.ndarray, *, absent_as_zero: bool = False
) -> dict[str, np.ndarray]:
    """Computes class_iou, class_accuracy and class_share, float64 [C]; see `scores`."""
    right, truth = np.diagonal(confusion), confusion.sum(axis=1)
    predicted = confusion.sum(axis=0)[: len(truth)]
    absent = 0.0 if absent_as_zero else np.nan
    return {
        "class_iou": intersection_over_union(right, truth, predicted, absent=absent),
        "class_accuracy": _ratio(right, truth, absent),
        "class_share": _ratio(truth, np.full_like(truth, truth.sum()), 0.0),
    }


def intersection_over_union(
    both: np.ndarray, truth: np.ndarray, predicted: np.ndarray, *, absent: float
) -> np.ndarray:
    """Divides the pixels in both by those in either.

    Args:
        both: [...] counts.
        truth: [...] counts, those in both included.
        predicted: [...] counts, those in both included.
        absent: the value where there is no pixel: NaN, or 0.

    Returns:
        [...] float64.
    """
    return _ratio(both, truth + predicted - both, absent)


def mean(values: np.ndarray) -> float:
    """Averages what is not NaN; NaN if nothing is left."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def harmonic_mean(first: float, second: float) -> float:
    """Returns 2 / (1/first + 1/second); 0 where either is 0 or NaN."""
    if not (first > 0 and second > 0):
        return 0.0
    return 2.0 / (1.0 / first + 1.0 / second)


def _averages(
    confusion: np.ndarray,
    rows: dict[str, np.ndarray],
    classes: list[int] | slice = slice(None),
) -> dict[str, float]:
    """Averages over some classes, whose unions still hold confusions with all others.

    The frequency-weighted IoU of a group is its part of the sum, not renormalised: 0
    where it has no labelled pixel.
    """
    right = np.diagonal(confusion)[classes].sum()
    labelled = confusion.sum(axis=1)[classes].sum()
    iou, accuracy = rows["class_iou"][classes], rows["class_accuracy"][classes]
    weighted = rows["class_share"][classes] * np.nan_to_num(iou)
    return {
        "mean_iou": mean(iou),
        "pixel_accuracy": float(_ratio(right, labelled, np.nan)),
        "mean_accuracy": mean(accuracy),
        "frequency_weighted_iou": float(weighted.sum()),
    }


def _checked(confusion: np.ndarray) -> np.ndarray:
    confusion = np.asarray(confusion)
    if confusion.ndim != 2 or confusion.shape[0] > confusion.shape[1]:
        raise ValueError(f"a confusion matrix is [C, C], got {confusion.shape}")
    if not np.issubdtype(confusion.dtype, np.integer):
        raise ValueError(
            f"a confusion matrix holds counts, got {confusion.dtype}: float32 loses "
            "pixels beyond 2^24; add batches up in int64"
        )
    return confusion.astype(np.int64)


def _ratio(part: Any, whole: Any, undefined: float) -> np.ndarray:
    defined = np.asarray(whole) > 0
    return np.where(defined, part / np.where(defined, whole, 1), undefined)
