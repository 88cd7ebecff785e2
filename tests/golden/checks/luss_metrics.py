"""The evaluator of LUSS: strips along borders, and every score of a split."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.labels import LabelSet
from jaxseg.metrics import confusion, object_size
from jaxseg.metrics.boundary import BoundaryIoU, thickness
from jaxseg.metrics.boundary import boundary as find_boundary
from jaxseg.metrics.foreground import UNIT, FMeasure
from jaxseg.metrics.image_accuracy import ImageAccuracy
from jaxseg.metrics.matching import relabel
from jaxseg.metrics.measure import Measure
from tests.golden.case import Case

RATIO = 0.03  # of the strip's width to the diagonal, everywhere in their evaluator
SIZE_NAMES = dict(zip(("S", "MS", "ML", "L"), object_size.SIZES, strict=True))


def boundary(case: Case) -> None:
    """Strips of single masks at the ratios in the names, and of whole label maps."""
    for name in case.names:
        if "_ratio" in name:
            mask, ratio = name.replace("boundary", "mask").split("_ratio")
            ours = _strip(case[mask], float(ratio)) & (case[mask] > 0)
            case.equal(name, np.where(ours, case[mask], 0))
        elif name.startswith("dilation"):
            index, ratio = name.removeprefix("dilation").split("_")
            case.equal(name, _width(case[f"mask{index}"].shape, float(ratio)))
        elif name.startswith("label_boundary"):
            label = case[name.replace("label_boundary", "label")]
            case.equal(name, np.where(_strip(label, RATIO), label + 1, 0))
    for name in ("full255", "one_pixel"):
        ours = _strip(case[name], RATIO) & (case[name] > 0)
        case.equal(f"{name}_boundary", np.where(ours, case[name], 0))
    empty = np.zeros_like(case["empty_boundary"])
    case.equal("empty_boundary", _strip(empty, RATIO) & (empty > 0))


@functools.cache
def _width(shape: tuple[int, ...], ratio: float) -> int:
    """Ours, which must also be the formula's."""
    ours = int(thickness(jnp.array([shape]), ratio=ratio, canvas=shape)[0])
    assert ours == max(1, round(ratio * math.hypot(*shape)))
    return ours


def _strip(ids: np.ndarray, ratio: float) -> np.ndarray:
    size, reach = jnp.array([ids.shape]), jnp.array([_width(ids.shape, ratio)])
    ids = jnp.asarray(ids, jnp.int32)[None]
    return np.asarray(jax.jit(find_boundary)(ids, reach, size)[0])


def metrics(case: Case) -> None:
    """Counts of every picture and scores of the split, matched as the file says."""
    classes = case["match_generated_to_class"]
    truth, clusters, size = pictures(case, case.number("num_images"))
    prediction = relabel(clusters, classes)
    labels = labels_of(case)
    scores = {}
    for name, measure in measures(labels).items():
        counts = per_picture(measure, truth, prediction, size)
        scores |= measure.scores(add_up(counts))
        _compare_pictures(case, name, counts)
    for theirs, ours in SCORE_NAMES.items():
        case.close(theirs, 100 * scores[ours], atol=2e-3)
    case.close("IoUs", 100 * scores["class_iou"], atol=2e-3)


SCORE_NAMES = {
    "Acc": "image_accuracy",
    "mIoU": "mean_iou",
    "mBIoU": "mean_boundary_iou",
    "FMeasure": "f_measure",
    **{name: f"{size}_iou" for name, size in SIZE_NAMES.items()},
    **{f"B{name}": f"{size}_boundary_iou" for name, size in SIZE_NAMES.items()},
}


def measures(labels: LabelSet) -> dict[str, Measure]:
    """All of their evaluator, by what the file calls the counts."""
    return {
        "": confusion.Confusion(labels, absent_as_zero=True),
        "B": BoundaryIoU(labels, ratio=RATIO, absent_as_zero=True),
        "size_": object_size.IoUBySize(labels),
        "size_B": object_size.BoundaryIoUBySize(labels, ratio=RATIO),
        "F": FMeasure(labels, with_unlabelled=True),
        "acc": ImageAccuracy(labels, with_unlabelled=True),
    }


def _compare_pictures(case: Case, name: str, counts) -> None:
    if name == "F":
        case.close("per_image_F", counts.millionths / UNIT, atol=1e-5)
    elif name == "acc":
        case.equal("per_image_acc", counts.right)
    elif name == "":
        overlap = counts.sum(1), counts.sum(2), np.diagonal(counts, axis1=1, axis2=2)
        for theirs, ours in zip(("T", "P", "TP"), overlap, strict=True):
            case.equal(f"per_image_{theirs}", ours)
    else:
        case.equal(f"per_image_{name}T", counts.prediction)
        case.equal(f"per_image_{name}P", counts.truth)
        case.equal(f"per_image_{name}TP", counts.both)


def labels_of(case: Case) -> LabelSet:
    """The background and the K classes."""
    names = ["other", *(f"class {i + 1}" for i in range(case.number("num_classes")))]
    return LabelSet(tuple(names), tuple((0, 0, 0) for _ in names))


def pictures(case: Case, number: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Truth, prediction, size of all pictures, padded at the bottom and the right."""
    maps = [(case[f"gt{i}"], case[f"pred{i}"]) for i in range(number)]
    size = np.array([truth.shape for truth, _ in maps])
    truth, prediction = (pad([pair[i] for pair in maps], -1) for i in range(2))
    return truth, prediction, jnp.asarray(size)


def pad(maps: list[np.ndarray], value: float) -> jax.Array:
    """Stacks maps of several sizes."""
    height, width = np.max([each.shape for each in maps], axis=0)
    return jnp.stack(
        [
            jnp.pad(
                each,
                ((0, height - each.shape[0]), (0, width - each.shape[1])),
                constant_values=value,
            )
            for each in maps
        ]
    )


def per_picture(measure: Measure, truth, prediction, size):
    """Counts of each picture by itself, int64 [n, ...]."""
    counts = _compiled(measure)(truth, prediction, size)
    return jax.tree.map(lambda each: np.asarray(each, np.int64), counts)


@functools.cache
def _compiled(measure: Measure):
    def one(truth, prediction, size):
        return measure.count(truth[None], prediction[None], size[None])

    return jax.jit(jax.vmap(one))


def add_up(counts):
    """The sum over pictures."""
    return jax.tree.map(lambda each: each.sum(axis=0), counts)
