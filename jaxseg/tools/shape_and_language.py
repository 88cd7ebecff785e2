"""What shape gains each unseen class, beside its compactness and language locality.

    python -m jaxseg.tools.shape_and_language --root $JAXSEG_DATA/voc_mini \
        --embeddings $JAXSEG_DATA/clip_text/voc21_vitb16_photo.npz --out runs/shape \
        --without runs/plain_0,runs/plain_1 --with runs/shape_0,runs/shape_1

Liu et al. 2023 (SAZS) observe that classes of compact masks, and of names close to seen
ones, gain more from shape. Measured here, as the article's formulae are in no source
that we could read:

    compactness   4 pi A / L^2 (`metrics.compactness`), mean over the regions of a
                  class: parts of its masks that hang together, of at least
                  --min_pixels, or with --whole the whole mask in each picture
    locality      mean of the 3 largest cosines between the class's stored embedding and
                  those of the classes outside of its fold (`metrics.locality`)
    gain          IoU with shape less IoU without, of runs that held the class out

Runs are work folders, or their metrics.jsonl, one or more for each fold and seed; the
last line with the score counts, and several runs of a class are averaged. FOLDER:RULE
is what `score_fusion` has found with a rule of fusion, as runs/a:none and runs/b:none
for what the losses gain, or runs/b:none and runs/b:label_free for what fusion gains.
Without runs there are compactness and locality alone. Prints a table for classes, folds
and correlations, and writes shape_and_language.json and .png to --out.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
from scipy import stats

from jaxseg import config as config_lib
from jaxseg import plots, visualize, workfolder
from jaxseg.config import ConfigError
from jaxseg.data import clip_text, splits
from jaxseg.data.source import Source
from jaxseg.metrics import compactness
from jaxseg.metrics.locality import NEAREST, language_locality
from jaxseg.reporting import files
from jaxseg.reporting.metrics_file import strict
from jaxseg.tools import score_fusion

FILE = "shape_and_language"
METRICS = "metrics.jsonl"
SCORE = "class_fold_iou"
FEWEST = 3  # classes that make a correlation


@dataclasses.dataclass(frozen=True)
class Row:
    """A class.

    Attributes:
        name: of the class.
        fold: that holds it out.
        regions: how many were measured.
        compactness: their mean; NaN without any.
        locality: of its name, see `language_locality`.
        gain: of IoU, 0 to 1; NaN where no runs of both kinds held the class out.
    """

    name: str
    fold: int
    regions: int
    compactness: float
    locality: float
    gain: float


def measure_masks(
    source: Source, num_classes: int, *, min_pixels: int, whole: bool
) -> compactness.Regions:
    """The regions of all masks of a source."""

    def of(index: int) -> compactness.Regions:
        alone = getattr(source, "label", None)
        label = source[index]["label"] if alone is None else alone(index)
        return compactness.regions(
            label, num_classes=num_classes, min_pixels=min_pixels, whole=whole
        )

    with futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(of, range(len(source))))
    return compactness.Regions(*map(np.concatenate, zip(*found, strict=True)))


def localities(names: Sequence[str], benchmark: str, path: str) -> dict[str, float]:
    """The language locality of each class in the fold that holds it out.

    Args:
        names: the benchmark's classes, without a background.
        benchmark: "pascal5i" or "coco20i".
        path: of stored embeddings, see `clip_text.read`.
    """
    embeddings = clip_text.read(names, path=path)
    found: dict[str, float] = {}
    for fold in range(splits.NUM_FOLDS):
        held = splits.fold(benchmark, fold)
        unseen = [names.index(name) for name in held]
        seen = [i for i in range(len(names)) if i not in unseen]
        values = language_locality(embeddings, seen=seen, unseen=unseen)
        found.update(zip(held, values.tolist(), strict=True))
    return found


def read_scores(
    path: str, *, score: str = SCORE, evaluation: str = ""
) -> dict[str, float]:
    """The last score of each class of a run, of those that have one.

    Args:
        path: a work folder or its metrics.jsonl; or FOLDER:RULE, for what
            `tools.score_fusion` has found with that rule.
        score: the key of a list, one number a class.
        evaluation: of the config's; needed where several have the score.

    Raises:
        ConfigError: if there is no such score, or it is not said which.
    """
    folder, _, rule = path.partition(":")
    workdir = os.path.dirname(folder) or "." if folder.endswith(".jsonl") else folder
    config = workfolder.read_config(workdir)
    if config is None:
        raise ConfigError(f"{workdir} is no work folder: it has no config.json")
    names = config["id2label"].values()
    if rule:
        values = _of_rule(workdir, rule, score)
    else:
        values = _last(os.path.join(workdir, METRICS), score, evaluation)
    given = zip(names, values, strict=True)
    return {name: x for name, x in given if x is not None and np.isfinite(x)}


def _last(file: str, score: str, evaluation: str) -> list[float | None]:
    """The last line of metrics.jsonl with a score, of the evaluation that has it."""
    lines = [line for line in files.read_objects(file) if score in line]
    there = sorted({line.get("evaluation", line["split"]) for line in lines})
    if not lines or (evaluation and evaluation not in there):
        which = f" in the evaluation {evaluation!r}" if evaluation else ""
        raise ConfigError(
            f"{file} has no {score!r}{which}{config_lib.suggest(evaluation, there)}: "
            "score the run with the measure fold.FoldIoU"
        )
    if len(there) > 1 and not evaluation:
        raise ConfigError(
            f"{file} has {score!r} of several evaluations, choose one by --evaluation: "
            f"{', '.join(there)}"
        )
    name = evaluation or there[0]
    return [x for x in lines if x.get("evaluation", x["split"]) == name][-1][score]


def _of_rule(workdir: str, rule: str, score: str) -> list[float | None]:
    """The score of a rule of fusion, of fusion.json."""
    file = os.path.join(workdir, score_fusion.FILE)
    if not os.path.exists(file):
        raise ConfigError(
            f"there is no {file}: make it with python -m jaxseg.tools.score_fusion "
            f"--workdir {workdir}"
        )
    with open(file, encoding="utf-8") as opened:
        scores = json.load(opened)["scores"]
    if rule not in scores or score not in scores[rule]:
        raise ConfigError(
            f"{file} has no {score!r} of the rule {rule!r}"
            f"{config_lib.suggest(rule, scores)}"
        )
    return scores[rule][score]


def gains(
    without: Sequence[Mapping[str, float]], with_shape: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """What classes that both kinds of runs score gain, means over runs compared.

    Raises:
        ConfigError: if there is no such class.
    """
    before, after = (_mean_scores(runs) for runs in (without, with_shape))
    both = {name: after[name] - before[name] for name in before if name in after}
    if not both:
        raise ConfigError(
            "no class is scored by runs without and by runs with shape: "
            f"{', '.join(before) or 'none'} and {', '.join(after) or 'none'}"
        )
    return both


def correlation(x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    """Pearson's and Spearman's coefficients of what is finite in both.

    Returns:
        pearson, spearman and n; NaN where n is below `FEWEST` or nothing varies.
    """
    finite = np.isfinite(x) & np.isfinite(y)
    one, other = np.asarray(x)[finite], np.asarray(y)[finite]
    found: dict[str, Any] = {"pearson": np.nan, "spearman": np.nan, "n": len(one)}
    if len(one) >= FEWEST and np.ptp(one) > 0 and np.ptp(other) > 0:
        found["pearson"] = float(stats.pearsonr(one, other).statistic)
        found["spearman"] = float(stats.spearmanr(one, other).statistic)
    return found


def analyse(
    dataset: Any,
    *,
    benchmark: str,
    embeddings: str,
    split: str = "train",
    min_pixels: int = 100,
    whole: bool = False,
    gained: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Puts classes, folds and correlations together.

    Args:
        dataset: with the benchmark's classes, `voc.VOC` or `coco.COCO`.
        benchmark: "pascal5i" or "coco20i".
        embeddings: path of stored embeddings.
        split: whose masks are measured.
        min_pixels: of a region.
        whole: whether a region is a class's whole mask.
        gained: of `gains`.

    Returns:
        `classes`, dicts of `Row`; `folds`, means over the classes of each; and
        `correlations` by the names of two measures.

    Raises:
        ValueError: if the data set has not the benchmark's classes, or no embeddings.
    """
    labels, names = dataset.labels, splits.benchmark_classes(benchmark)
    ids = dict(zip(names, labels.train_ids(names), strict=True))
    local, gained = localities(names, benchmark, embeddings), gained or {}
    found = measure_masks(
        dataset.source(split), labels.num_classes, min_pixels=min_pixels, whole=whole
    )
    counts = np.bincount(found.classes, minlength=labels.num_classes)
    means = compactness.mean_of_classes(found, num_classes=labels.num_classes)
    rows = [
        Row(
            name=name,
            fold=fold,
            regions=int(counts[ids[name]]),
            compactness=float(means[ids[name]]),
            locality=local[name],
            gain=gained.get(name, np.nan),
        )
        for fold in range(splits.NUM_FOLDS)
        for name in splits.fold(benchmark, fold)
    ]
    return {
        "benchmark": benchmark,
        "split": split,
        "regions": "whole masks" if whole else f"parts of {min_pixels} pixels and more",
        "locality": f"mean of the {NEAREST} largest cosines to seen classes",
        "classes": [dataclasses.asdict(row) for row in rows],
        "folds": [_fold_means(rows, fold) for fold in range(splits.NUM_FOLDS)],
        "correlations": {
            f"{x} and {y}": correlation(
                [getattr(row, x) for row in rows], [getattr(row, y) for row in rows]
            )
            for x, y in _pairs(bool(gained))
        },
    }


def table(result: Mapping[str, Any]) -> str:
    """Writes the result of `analyse` as Markdown."""
    lines = [
        f"compactness: {result['regions']} of {result['split']}; locality: "
        f"{result['locality']}",
        "",
        "| class | fold | regions | compactness | locality | gain |",
        "|---|---|---|---|---|---|",
    ]
    for row in (*result["classes"], *result["folds"]):
        values = [_number(row[key]) for key in ("compactness", "locality", "gain")]
        name = row.get("name", f"**mean of fold {row['fold']}**")
        cells = [name, str(row["fold"]), str(row["regions"]), *values]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| correlation of | Pearson | Spearman | classes |"]
    lines.append("|---|---|---|---|")
    for name, value in result["correlations"].items():
        both = f"{_number(value['pearson'])} | {_number(value['spearman'])}"
        lines.append(f"| {name} | {both} | {value['n']} |")
    return "\n".join(lines)


def draw(result: Mapping[str, Any]) -> np.ndarray:
    """Draws the classes of a result, a plot for each correlation, uint8 [H, W, 3]."""
    panels = {}
    for pair, value in result["correlations"].items():
        x, y = pair.split(" and ")
        places = {row["name"]: (row[x], row[y]) for row in result["classes"]}
        title = f"Pearson {_number(value['pearson'])}, {value['n']} classes"
        finite = {k: v for k, v in places.items() if np.isfinite(v).all()}
        panels[f"{pair}: {title}"] = (x, y, finite)
    return plots.named_points(panels)


def _mean_scores(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for run in runs for name in run)
    return {n: float(np.mean([run[n] for run in runs if n in run])) for n in names}


def _fold_means(rows: Sequence[Row], fold: int) -> dict[str, Any]:
    inside = [row for row in rows if row.fold == fold]
    means = {
        key: _mean([getattr(row, key) for row in inside])
        for key in ("compactness", "locality", "gain")
    }
    return {"fold": fold, "regions": sum(row.regions for row in inside), **means}


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else np.nan


def _pairs(has_gains: bool) -> tuple[tuple[str, str], ...]:
    first = ("compactness", "locality")
    return (first, *((x, "gain") for x in first)) if has_gains else (first,)


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "-"


def _runs(paths: str, options: argparse.Namespace) -> list[dict[str, float]]:
    given = [path for path in paths.split(",") if path]
    chosen = dict(score=options.score, evaluation=options.evaluation)
    return [read_scores(path, **chosen) for path in given]


def run(options: argparse.Namespace) -> None:
    """Does what the command line asks for; see `main`."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("the plot needs matplotlib: pip install 'jaxseg[notebook]'")
    if bool(options.without) != bool(options.with_shape):
        raise ConfigError("--without and --with are given together, or not at all")
    gained = None
    if options.without:
        gained = gains(
            _runs(options.without, options), _runs(options.with_shape, options)
        )
    root = config_lib.expand(options.root)
    result = analyse(
        config_lib.make("data", {"name": options.name, "root": root}),
        benchmark=options.benchmark,
        embeddings=options.embeddings,
        split=options.split,
        min_pixels=options.min_pixels,
        whole=options.whole,
        gained=gained,
    )
    print(table(result))
    path = os.path.join(options.out, FILE)
    files.replace(f"{path}.json", json.dumps(strict(result), indent=2) + "\n")
    visualize.save_picture(f"{path}.png", draw(result))
    print(f"\nwrote {path}.json and {path}.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job; 1 and a message if it cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxseg.tools.shape_and_language",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", required=True, help="of the data set")
    parser.add_argument("--name", default="voc.VOC", help="as in config.data.name")
    parser.add_argument("--split", default="train", help="whose masks are measured")
    parser.add_argument(
        "--benchmark", default="pascal5i", choices=splits.BENCHMARKS, help="its folds"
    )
    parser.add_argument("--embeddings", required=True, help="stored embeddings, .npz")
    parser.add_argument("--without", default="", help="runs without shape, by commas")
    parser.add_argument(
        "--with", dest="with_shape", default="", help="runs with it, by commas"
    )
    parser.add_argument("--evaluation", default="", help="whose scores, of the config")
    parser.add_argument("--score", default=SCORE, help="key of a number a class")
    parser.add_argument("--min_pixels", type=int, default=100, help="of a region")
    parser.add_argument("--whole", action="store_true", help="measure whole masks")
    parser.add_argument("--out", required=True, help="folder for the result")
    try:
        run(parser.parse_args(arguments))
    except (ValueError, OSError) as error:
        print(f"shape_and_language: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
