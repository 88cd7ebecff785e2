"""Scores of a fold, from episodes of one class each."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.labels import IGNORE, LabelSet
from jaxseg.metrics.fold import FoldIoU, as_ids
from tests.golden.case import Case


def metric_fold(case: Case) -> None:
    """Intersections and unions of every episode, IoU of the fold's classes, FB-IoU."""
    labels, truth, prediction, classes = _episodes(case)
    fold = tuple(int(i) + 1 for i in case["fold_class_ids"])
    in_fold = np.isin(classes, fold)
    for suffix, void in (("", False), ("_official", True)):
        every = FoldIoU(
            labels, tuple(range(1, labels.num_classes)), void_predictions=void
        )
        one = jax.jit(jax.vmap(lambda t, p, m=every: m.count(t[None], p[None])))
        counts = jax.tree.map(np.asarray, one(truth, prediction))  # [n, C + 1] each
        union = counts.truth + counts.prediction - counts.both
        for name, ours in (("inter", counts.both), ("union" + suffix, union)):
            rows = [ours[:, 0], np.take_along_axis(ours, classes[:, None], 1)[:, 0]]
            case.close(name, rows)

        totals = jax.tree.map(lambda each: each[in_fold].sum(axis=0), counts)
        scores = FoldIoU(labels, fold, void_predictions=void).scores(totals)
        of_fold = scores["class_fold_iou"][list(fold)]
        case.close("iou" + suffix, 100 * of_fold, atol=1e-4)
        case.close("miou" + suffix, 100 * scores["fold_mean_iou"], atol=1e-4)
        case.close("fbiou" + suffix, 100 * scores["fb_iou"], atol=1e-4)


def _episodes(case: Case) -> tuple[LabelSet, jax.Array, jax.Array, np.ndarray]:
    """Their class ids count from 0, the ids in their masks and ours from 1."""
    names = ["others", *(f"class {i}" for i in range(case.number("num_classes")))]
    labels = LabelSet(tuple(names), tuple((0, 0, 0) for _ in names))
    classes, raw = case["class_id"].astype(int) + 1, case["label_raw"]
    binary = np.where(raw == 255, IGNORE, raw == classes[:, None, None])
    truth = as_ids(jnp.asarray(binary), jnp.asarray(classes))
    prediction = as_ids(jnp.asarray(case["pred"]), jnp.asarray(classes))
    return labels, truth, prediction, classes
