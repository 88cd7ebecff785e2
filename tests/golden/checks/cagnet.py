"""Checks against the code of CaGNet, SPNet and ZS3Net."""

import numpy as np

from jaxseg.metrics import iou
from jaxseg.metrics.confusion import confusion_matrix
from tests.golden.case import Case
from tests.golden.checks.cagnet_protocols import multiscale_fusion  # noqa: F401

# The evaluator's names of our scores; it puts the group behind, we before.
_SCORES = {
    "Overall Acc": "pixel_accuracy",
    "Mean Acc": "mean_accuracy",
    "FreqW Acc": "frequency_weighted_iou",
    "Mean IoU": "mean_iou",
}
_GROUPS = {"Seen": "seen", "Unseen": "unseen", "Harmonic": "harmonic"}


def metrics(case: Case) -> None:
    """Confusion matrix and zero-shot scores, in both conventions for absent classes."""
    num_seen, num_unseen = case.number("num_seen"), case.number("num_unseen")
    seen, unseen = range(num_seen), range(num_seen, num_seen + num_unseen)
    confusion = np.asarray(
        confusion_matrix(case["gt"], case["pred"], num_classes=num_seen + num_unseen)
    )
    case.equal("confusion", confusion)

    ours = iou.scores(confusion, seen=seen, unseen=unseen)
    case.close("class_iou", ours["class_iou"], atol=1e-6)
    values = [ours[_our_name(str(key))] for key in case["keys"]]
    case.close("values", values, atol=1e-6)

    zs3 = iou.scores(confusion, seen=seen, unseen=unseen, absent_as_zero=True)
    values = [
        zs3[_our_name(f"{score} {group}".strip())]
        for score in ("Overall Acc", "Mean Acc", "Mean IoU", "FreqW Acc")
        for group in ("", "Seen", "Unseen")
    ]
    case.close("zs3_values", values, atol=1e-6)


def _our_name(key: str) -> str:
    """Translates "Mean IoU Seen" to "seen_iou"."""
    score, _, group = key.rpartition(" ")
    if group not in _GROUPS:
        return _SCORES[key]
    short = "iou" if _SCORES[score] == "mean_iou" else _SCORES[score]
    return f"{_GROUPS[group]}_{short}"
