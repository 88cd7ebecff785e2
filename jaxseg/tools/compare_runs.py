"""Compares finished runs by what their metrics.jsonl says, as Markdown.

    python -m jaxseg.tools.compare_runs runs/camvid_0 runs/camvid_1 --split val

Prints the last score of each class, mean and spread over the runs (seeds of one
config), and the curve of the mean IoU; `--figure FILE` draws the curve too, with
matplotlib.
"""

import argparse
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg import workfolder
from jaxseg.config import ConfigError

AVERAGES = ("mean_iou", "pixel_accuracy", "mean_accuracy")


def read_lines(workdir: str, split: str) -> list[dict[str, Any]]:
    """Reads the evaluations of one split from a run, one for each step, in order.

    Raises:
        ConfigError: if there is none.
    """
    path = os.path.join(workdir, "metrics.jsonl")
    if not os.path.exists(path):
        raise ConfigError(
            f"{path} does not exist: {workdir} is not a run's work folder"
        )
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    scored = [line for line in lines if line["split"] == split]
    names = sorted({line.get("evaluation", split) for line in scored})
    if len(names) > 1:
        raise ConfigError(f"{path} scores {split!r} in several evaluations: {names}")
    by_step = {line["step"]: line for line in scored}
    if not by_step:
        splits = sorted({line["split"] for line in lines})
        raise ConfigError(f"{path} has no evaluation {split!r}; there are: {splits}")
    return [by_step[step] for step in sorted(by_step)]


def score_table(runs: Sequence[Sequence[dict[str, Any]]], names: Sequence[str]) -> str:
    """Writes the last evaluation of every run, averages first, then each class.

    Args:
        runs: of each run the lines of `read_lines`.
        names: of the classes.

    Returns:
        A Markdown table of fractions: mean over runs, half the range, each run.
    """
    last = [lines[-1] for lines in runs]
    rows = [(f"**{key}**", [line[key] for line in last]) for key in AVERAGES]
    for i, name in enumerate(names):
        values = [line["class_iou"][i] for line in last]
        rows.append((name, [np.nan if value is None else value for value in values]))
    header = ["", "mean", "half range", *(f"run {i}" for i in range(len(runs)))]
    table = [header, ["---"] * len(header)]
    for name, values in rows:
        spread = (max(values) - min(values)) / 2
        cells = [np.mean(values), spread, *values]
        table.append([name, *(f"{cell:.4f}" for cell in cells)])
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def curve_table(runs: Sequence[Sequence[dict[str, Any]]]) -> str:
    """Writes the mean IoU at the steps that all runs have, one column a run."""
    header = ["step", *(f"run {i}" for i in range(len(runs)))]
    table = [header, ["---"] * len(header)]
    curves = [{line["step"]: line["mean_iou"] for line in lines} for lines in runs]
    for step in sorted(set.intersection(*(set(curve) for curve in curves))):
        table.append([str(step), *(f"{curve[step]:.4f}" for curve in curves)])
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def draw(
    runs: Sequence[Sequence[dict[str, Any]]], path: str, mark: float | None
) -> None:
    """Draws the mean IoU by step, and a dashed line at the score to pass."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    for i, lines in enumerate(runs):
        steps = [line["step"] for line in lines]
        axes.plot(steps, [line["mean_iou"] for line in lines], "o-", label=f"run {i}")
    if mark is not None:
        axes.axhline(mark, linestyle="--", color="grey", label=f"to pass: {mark}")
    axes.set(xlabel="step", ylabel="mean IoU")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and prints the tables.

    Args:
        arguments: in place of the command line's.
    """
    parser = argparse.ArgumentParser(prog="python -m jaxseg.tools.compare_runs")
    parser.add_argument("workdirs", nargs="+")
    parser.add_argument("--split", default="val", help="the split that was scored")
    parser.add_argument("--figure", help="file for a drawing of the curve")
    parser.add_argument("--mark", type=float, help="a score to draw a line at")
    options = parser.parse_args(arguments)
    runs = [read_lines(workdir, options.split) for workdir in options.workdirs]
    config = workfolder.read_config(options.workdirs[0])
    if config is None:
        raise ConfigError(f"{options.workdirs[0]} has no config.json")
    print(score_table(runs, list(config["id2label"].values())))
    print()
    print(curve_table(runs))
    if options.figure:
        draw(runs, options.figure, options.mark)


if __name__ == "__main__":
    main()
