r"""Scores eigensegments without training: where the things are, and which pixels.

    python -m jaxseg.tools.score_eigensegments --root $JAXSEG_DATA/voc_mini \
        --split val --config configs/spnet_voc_mini.py --stage -1 --colour_weights 0 10

Prints a JSON object a line, for each weight of colours and choice of the segment, and
for two baselines on the same pictures:

- corloc: share of pictures in which the box of the largest component has IoU >= 0.5
  with the box of some thing. VOC's masks do not tell things apart, so things are
  connected components of a class's pixels, of at least `--least_share` of the picture
- foreground_iou: mean over pictures of the IoU of the segment with all classes but
  background; unlabelled pixels do not count

`choice` is how the segment was chosen: "first", the paper's; "border", the one with the
least of the border for its size, which needs no label either; "oracle", the best by the
labels, which no method can know. Baselines: "centre", a box in the middle with half of
the picture; "otsu", the smaller side of Otsu's threshold of the grey levels.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from jaxseg import compilation_cache
from jaxseg import config as config_lib
from jaxseg.checkpoints import CheckpointError
from jaxseg.config import ConfigError
from jaxseg.data import voc
from jaxseg.data.labels import LabelSet
from jaxseg.metrics.localisation import box_iou, largest_component_box, object_boxes
from jaxseg.models.spectral_maps import SpectralMaps
from jaxseg.ops import otsu
from jaxseg.ops.spectral import METHODS
from jaxseg.reporting.progress import Progress
from jaxseg.tools import spectral_source
from jaxseg.tools.spectral_pictures import Found, SpectralPictures

BACKGROUND = 0
ENOUGH = 0.5  # of CorLoc
CENTRE_SHARE = 0.5  # of the picture, in the box in its middle
LEAST_SEGMENT = 0.02  # of the grid, of a segment that the border chooses
LEAST_SHARE = 0.01


class Truth(NamedTuple):
    """What there is in a picture.

    Attributes:
        boxes: int [N, 4] of its things.
        foreground: bool [H, W], any class but background.
        labelled: bool [H, W].
    """

    boxes: np.ndarray
    foreground: np.ndarray
    labelled: np.ndarray


class Guess(NamedTuple):
    """What a method says of a picture: a box [4], and a mask bool [H, W]."""

    box: np.ndarray
    mask: np.ndarray


def truth_of(label: np.ndarray, labels: LabelSet, least_share: float) -> Truth:
    """What a mask of class ids [H, W] says there is."""
    labelled = label < labels.num_classes
    boxes = object_boxes(
        label,
        num_classes=labels.num_classes,
        background=BACKGROUND,
        least_share=least_share,
    )
    return Truth(boxes, labelled & (label != BACKGROUND), labelled)


def foreground_iou(mask: np.ndarray, truth: Truth) -> float:
    """IoU of a mask with the foreground, over labelled pixels; 0 of nothing."""
    mask = mask & truth.labelled
    either = np.sum(mask | truth.foreground)
    return float(np.sum(mask & truth.foreground) / max(either, 1))


def score(guess: Guess, truth: Truth) -> tuple[bool, float]:
    """Whether the box is of some thing, and the IoU of the mask."""
    found = bool(np.any(box_iou(guess.box, truth.boxes) >= ENOUGH))
    return found, foreground_iou(guess.mask, truth)


def guesses(found: Found, truth: Truth) -> dict[str, Guess]:
    """What the eigensegments of a picture say, by choice."""
    *_, k = found.segments.shape
    ious = [foreground_iou(found.segments[..., i], truth) for i in range(k)]
    chosen = {
        "first": 0,
        "border": least_of_the_border(found.masks),
        "oracle": int(np.argmax(ious)),
    }
    return {
        name: Guess(found.boxes[i], found.segments[..., i])
        for name, i in chosen.items()
    }


def least_of_the_border(masks: np.ndarray) -> int:
    """Chooses a segment without labels: things rarely are at the picture's border.

    Args:
        masks: bool [h, w, K] on the grid.

    Returns:
        The k with the smallest share of the border's nodes for its share of all nodes,
        the first of equals, of those with 2 % of the nodes or more; 0 if none has.
    """
    h, w, _ = masks.shape
    border = np.ones((h, w), bool)
    border[1:-1, 1:-1] = False
    share = masks.mean(axis=(0, 1))
    at_border = masks[border].mean(axis=0)
    counts = share >= LEAST_SEGMENT
    ratio = np.where(counts, at_border / np.maximum(share, 1e-9), np.inf)
    return int(np.argmin(ratio))


def baselines(image: np.ndarray) -> dict[str, Guess]:
    """What can be said of a picture uint8 [H, W, 3] without features."""
    height, width, _ = image.shape
    margin = (1 - CENTRE_SHARE**0.5) / 2
    box = np.round(
        [
            margin * width,
            margin * height,
            (1 - margin) * width,
            (1 - margin) * height,
        ]
    ).astype(int)
    left, top, right, bottom = box
    centre = np.zeros((height, width), bool)
    centre[top:bottom, left:right] = True
    grey = otsu.grey_of(image)
    bright = grey > otsu.threshold(grey)
    if bright.mean() > 0.5:  # as eigensegments: the smaller side is the thing
        bright = ~bright
    return {
        "centre": Guess(box, centre),
        "otsu": Guess(largest_component_box(bright), bright),
    }


def measure(
    source: Any,
    labels: LabelSet,
    finders: Mapping[str, SpectralPictures],
    *,
    least_share: float = LEAST_SHARE,
) -> dict[tuple[str, str], np.ndarray]:
    """Scores a split.

    Args:
        source: of pictures and masks.
        labels: the classes, background the first.
        finders: of eigensegments, by name.
        least_share: of the picture that a thing has.

    Returns:
        By (finder or "", choice or baseline): [N, 2] of each picture with a thing in it
        whether the box is right, and the foreground's IoU.
    """
    scores: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    progress = Progress(len(source))
    try:
        for done, images, truths in read(source, labels, finders, least_share):
            for name, find in finders.items():
                for found, truth in zip(find(images), truths, strict=True):
                    for choice, guess in guesses(found, truth).items():
                        key = name, choice
                        scores.setdefault(key, []).append(score(guess, truth))
            for image, truth in zip(images, truths, strict=True):
                for choice, guess in baselines(image).items():
                    scores.setdefault(("", choice), []).append(score(guess, truth))
            progress.update(done)
    finally:
        progress.close()
    return {key: np.array(rows, float) for key, rows in scores.items()}


def read(
    source: Any,
    labels: LabelSet,
    finders: Mapping[str, SpectralPictures],
    least_share: float,
) -> Iterator[tuple[int, list[np.ndarray], list[Truth]]]:
    """Pictures with a thing in them, some at a time, and how many were looked at."""
    most = max((find.batch_size for find in finders.values()), default=1)
    for start in range(0, len(source), most):
        stop = min(start + most, len(source))
        examples = [source[i] for i in range(start, stop)]
        truths = [truth_of(x["label"], labels, least_share) for x in examples]
        with_things = [i for i, truth in enumerate(truths) if len(truth.boxes)]
        yield (
            stop,
            [examples[i]["image"] for i in with_things],
            [truths[i] for i in with_things],
        )


def rows(
    scores: Mapping[tuple[str, str], np.ndarray],
    about: Mapping[str, Mapping[str, Any]],
    common: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """What is printed: a dict for each finder and choice, then for each baseline.

    Args:
        scores: of `measure`.
        about: of each finder by name, what it is.
        common: what is the same in all.
    """
    found = []
    for (name, choice), values in scores.items():
        kind = {"method": "eigensegments", **about[name]} if name else {}
        key = "choice" if name else "method"
        found.append(
            {
                **kind,
                key: choice,
                "corloc": round(float(values[:, 0].mean()), 4),
                "foreground_iou": round(float(values[:, 1].mean()), 4),
                "pictures": len(values),
                **common,
            }
        )
    return sorted(found, key=lambda row: row["method"] != "eigensegments")


def make_finders(
    options: argparse.Namespace,
) -> tuple[dict[str, SpectralPictures], dict[str, dict[str, Any]]]:
    """The finders, a weight of colours each, and what each is, by name.

    Raises:
        ConfigError: if the options name no features, or a weight is below 0.
        FileNotFoundError: a file or run is not there.
        ValueError: weights do not fit.
    """
    if min(options.colour_weights) < 0:
        raise ConfigError(f"--colour_weights {options.colour_weights}: one is below 0")
    features = spectral_source.load(options)
    finders, about = {}, {}
    for weight in dict.fromkeys(options.colour_weights):
        maps = SpectralMaps(
            network=features.network,
            stage=features.stage,
            count=options.count,
            method=options.method,
            colour_weight=weight,
        )
        find = SpectralPictures(
            maps=maps,
            variables=features.variables,
            side=options.side,
            batch_size=options.batch_size,
        )
        backbone: Any = features.network.backbone
        finders[str(weight)] = find
        about[str(weight)] = {
            "features": features.title,
            "stage": "keys" if features.stage is None else features.stage,
            "output_stride": getattr(backbone, "output_stride", None),
            "stride": maps.stride,
            "side": find.canvas_side,
            "solver": options.method,
            "count": options.count,
            "colour_weight": weight,
        }
    return finders, about


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, scores and prints.

    Args:
        arguments: in place of the command line's.
    """
    parser = argparse.ArgumentParser(
        prog="python -m jaxseg.tools.score_eigensegments",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", required=True, help="folder of VOC, see docs/data.md")
    parser.add_argument("--split", default="val")
    spectral_source.add_arguments(parser)
    parser.add_argument("--count", type=int, default=5, help="K, how many eigenvectors")
    parser.add_argument("--method", choices=METHODS, default="auto", help="the solver")
    parser.add_argument("--colour_weights", type=float, nargs="+", default=[0.0, 10.0])
    parser.add_argument("--side", type=int, help="as of jaxseg.tools.eigensegments")
    parser.add_argument("--batch_size", type=int, default=4, help="pictures at a time")
    parser.add_argument(
        "--least_share",
        type=float,
        default=LEAST_SHARE,
        help="of the picture that a thing has; of smaller ones the largest counts "
        "where there is no other",
    )
    options = parser.parse_args(arguments)
    compilation_cache.enable(None)
    logging.set_verbosity(logging.ERROR)  # Orbax warns that it only reads
    began = time.monotonic()
    try:
        dataset = voc.VOC(root=config_lib.expand(options.root))
        source = dataset.source(options.split)
        finders, about = make_finders(options)
    except (ValueError, CheckpointError, FileNotFoundError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    logging.set_verbosity(logging.INFO)
    scores = measure(source, dataset.labels, finders, least_share=options.least_share)
    common = {
        "split": options.split,
        "true_boxes": "8-connected components of each class's pixels, at least "
        f"{options.least_share:g} of the picture, else the largest",
        "device": str(jax.devices()[0].device_kind),
        "seconds": round(time.monotonic() - began, 1),
    }
    for row in rows(scores, about, common):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
