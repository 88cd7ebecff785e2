"""`report.html`: what a run came to, as one page without scripts or other files.

Read `write` first. The page is made from what lies in the work folder alone, so that it
can be made anew at any time: metrics.jsonl, evaluations/, pictures/, config.json and
starts.jsonl. `templates/page.html` says how it looks.

Its size is bounded by `BYTES_PER_EVALUATION` and `BYTES_BESIDES`: pictures are shrunk
(`scored`), curves thinned (`curves`), large matrices drawn (`confusions`).
"""

import base64
import collections
import functools
import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jinja2
import numpy as np

from jaxseg import visualize
from jaxseg.reporting import (
    confusions,
    curves,
    files,
    metrics_file,
    records,
    starts,
)
from jaxseg.reporting.text import percent

FILE = "report.html"
BYTES_PER_EVALUATION = 5_000_000  # of up to 1000 classes and any pictures
BYTES_BESIDES = 1_000_000
MOST_STARTS = 20  # listed, the newest first
FULL_MATRIX = 33  # classes whose whole confusion matrix can be read on a screen

# What a row of the table of classes is called, if not by its score's name.
COLUMNS = {"class_iou": "IoU", "class_accuracy": "accuracy", "class_share": "pixels"}
MAIN_SCORES = {  # as the field calls them
    "mean_iou": "mIoU",
    "pixel_accuracy": "aAcc",
    "mean_accuracy": "mAcc",
    "seen_iou": "seen IoU",
    "unseen_iou": "unseen IoU",
    "harmonic_iou": "harmonic IoU",
}


class Cell(NamedTuple):
    """A score as a share of a bar's length, and as text."""

    share: float
    text: str


def write(workdir: str | os.PathLike[str]) -> str:
    """Makes `report.html` of a work folder anew, whole or not at all.

    Args:
        workdir: of a run; what it lacks is left out of the page.

    Returns:
        the path of the page.
    """
    path = os.path.join(workdir, FILE)
    files.replace(path, render(workdir))
    return path


def render(workdir: str | os.PathLike[str]) -> str:
    """Returns the page of a work folder as HTML; see `write`."""
    config = _read_json(pathlib.Path(workdir, "config.json"))
    versions = _read_json(pathlib.Path(workdir, "versions.json"))
    begun = starts.read_starts(workdir)
    template = _environment().get_template("page.html")
    return template.render(
        title=config.get("name") or pathlib.Path(workdir).resolve().name,
        evaluations=[
            _section(record, workdir)
            for record in _ordered(records.read(workdir), config.get("evals", {}))
        ],
        charts=curves.charts(metrics_file.read(workdir)),
        chart_size=(curves.WIDTH, curves.HEIGHT),
        plot=(curves.LEFT, curves.TOP, curves.RIGHT, curves.BOTTOM),
        starts=begun[: -1 - MOST_STARTS : -1],
        versions=_versions(begun[-1]["versions"] if begun else versions),
        config=_settings(config),
        error_legend=visualize.ERROR_LEGEND,
        tile_names=visualize.CAPTIONS,
    )


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jaxseg.reporting"),
        autoescape=True,  # names of classes and files are anybody's
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["colour"] = lambda rgb: f"#{bytes(rgb).hex()}"
    return environment


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _ordered(
    found: list[dict[str, Any]], evals: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Evaluations as the config lists them, then those it does not know."""
    order = {name: i for i, name in enumerate(evals)}
    return sorted(found, key=lambda record: order.get(record["evaluation"], len(order)))


def _settings(config: Mapping[str, Any]) -> str:
    """The config without the names and colours, which the tables show."""
    shown = {k: v for k, v in config.items() if k not in ("id2label", "palette")}
    return json.dumps(shown, indent=2) if shown else ""


def _versions(found: Mapping[str, Any]) -> dict[str, str]:
    """What a run ran with; devices of a kind are counted."""
    devices = collections.Counter(found.get("devices", ()))
    counted = ", ".join(f"{count} x {kind}" for kind, count in devices.items())
    return {**found, "devices": counted} if devices else dict(found)


def _section(
    record: Mapping[str, Any], workdir: str | os.PathLike[str]
) -> dict[str, Any]:
    scores = record["scores"]
    main = [
        (MAIN_SCORES[name], _words(scores[name]))
        for name in MAIN_SCORES
        if name in scores
    ]
    others = [
        (name.replace("_", " "), _words(value))
        for name, value in scores.items()
        if name not in MAIN_SCORES and not _is_class_score(name, value, record)
    ]
    return {
        "name": record["evaluation"],
        "split": record["split"],
        "step": record["step"],
        "main": main,
        "others": others,
        "classes": _classes(record),
        "matrix": _matrix(record),
        "pictures": [
            (kind, [_picture(p, record, workdir) for p in record[kind]])
            for kind in ("worst", "best")
            if record[kind]
        ],
    }


def _words(value: Any) -> str:
    """A fraction in per cent, a count as it is, what is undefined as a dash."""
    if isinstance(value, list):
        return ", ".join(_words(item) for item in value)
    if value is None or isinstance(value, float):
        return percent(math.nan if value is None else value)
    return str(value)


def _is_class_score(name: str, value: Any, record: Mapping[str, Any]) -> bool:
    return (
        name.startswith("class_")
        and isinstance(value, list)
        and len(value) == len(record["names"])
    )


def _classes(record: Mapping[str, Any]) -> dict[str, Any]:
    """The table of classes: a row each, with a bar for each of its scores."""
    columns = {
        name: value
        for name, value in record["scores"].items()
        if _is_class_score(name, value, record)
    }
    groups = {i: "seen" for i in record["seen"]}
    groups |= {i: "unseen" for i in record["unseen"]}
    titles = [
        COLUMNS.get(name, name.removeprefix("class_").replace("_", " "))
        for name in columns
    ]
    rows = [
        {
            "name": name,
            "colour": record["palette"][i],
            "group": groups.get(i, ""),
            "cells": [_cell(values[i]) for values in columns.values()],
        }
        for i, name in enumerate(record["names"])
    ]
    return {"titles": titles, "rows": rows, "has_groups": bool(groups)}


def _cell(value: float | None) -> Cell:
    if value is None:
        return Cell(0.0, percent(math.nan))
    return Cell(round(min(max(value, 0.0), 1.0), 4), percent(value))


def _matrix(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The confusion matrix: in full, or as a heat map, and its worst pairs."""
    if record["confusion"] is None:
        return None
    confusion = np.array(record["confusion"], np.int64)
    names = record["names"]
    pairs = [
        (names[pair.truth], names[pair.prediction], percent(pair.rate), pair.pixels)
        for pair in confusions.worst_pairs(confusion)
    ]
    if len(names) > FULL_MATRIX:
        heat = _data_uri(confusions.heat_map(confusion), "png")
        return {"pairs": pairs, "heat": heat, "names": names}
    rates = confusions.rates(confusion)
    rows = [
        (
            names[t],
            [
                (names[p], round(float(rates[t, p]), 3), int(confusion[t, p]))
                for p in range(len(names))
            ],
        )
        for t in range(len(names))
    ]
    return {"pairs": pairs, "heat": "", "names": names, "rows": rows}


def _picture(
    picture: Mapping[str, Any],
    record: Mapping[str, Any],
    workdir: str | os.PathLike[str],
) -> dict[str, Any]:
    """A picture with its tiles inside; one that was removed is left out."""
    folder = pathlib.Path(workdir, records.PICTURES)
    tiles = {}
    for tile, name in picture["tiles"].items():
        path = folder / os.path.basename(name)
        if path.exists():
            tiles[tile] = _data_uri(path.read_bytes(), "jpeg")
    return {
        "name": picture["name"],
        "score": _words(picture["score"]),
        "tiles": tiles,
        "legend": [
            (record["names"][i], record["palette"][i]) for i in picture["classes"]
        ],
    }


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
