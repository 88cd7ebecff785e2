"""The newest result of every evaluation, in a form that a report can be made from.

`evaluations/NAME.json` holds scores, classes, the confusion matrix and the names of the
worst and best pictures, whose tiles lie in `pictures/`.
"""

import contextlib
import json
import os
import pathlib
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxseg.data.labels import LabelSet
from jaxseg.reporting import files
from jaxseg.reporting.metrics_file import strict
from jaxseg.reporting.scored import ScoredPicture, legend, shrunk, tiles

FOLDER, PICTURES = "evaluations", "pictures"
MOST_PICTURES = 6  # of the worst, and of the best: they bound the report's size


def write(
    workdir: str | os.PathLike[str],
    *,
    step: int,
    name: str,
    split: str,
    scores: Mapping[str, Any],
    labels: LabelSet,
    confusion: np.ndarray | None = None,
    worst: Sequence[ScoredPicture] = (),
    best: Sequence[ScoredPicture] = (),
) -> None:
    """Writes the record of an evaluation in place of its last one.

    Args:
        workdir: of the run.
        step: of the state that was scored.
        name: of the evaluation, in the config.
        split: what was scored.
        scores: numbers and arrays by name.
        labels: the classes.
        confusion: integer [C, C], rows truth.
        worst: the worst pictures, the worst first; the first `MOST_PICTURES` are kept.
        best: the best ones, the best first, alike.
    """
    file_name = urllib.parse.quote(name, safe="")
    path = pathlib.Path(workdir, FOLDER, f"{file_name}.json")
    before = _tile_files(_read(path)) if path.exists() else set()
    pictures = {
        kind: [
            _write_tiles(workdir, f"{file_name}_{step:07}_{kind}_{i}", picture, labels)
            for i, picture in enumerate(chosen[:MOST_PICTURES])
        ]
        for kind, chosen in (("worst", worst), ("best", best))
    }
    record = {
        "evaluation": name,
        "split": split,
        "step": step,
        "names": labels.names,
        "palette": labels.palette,
        "seen": labels.seen,
        "unseen": labels.unseen,
        "scores": dict(scores),
        "confusion": confusion,
        **pictures,
    }
    text = json.dumps(strict(record), allow_nan=False, separators=(",", ":"))
    files.replace(path, text + "\n")
    for tile in before - _tile_files(record):
        with contextlib.suppress(FileNotFoundError):  # a user may tidy up too
            os.remove(os.path.join(workdir, PICTURES, tile))


def read(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads the records of a work folder, sorted by the names of their files."""
    return [
        _read(path) for path in sorted(pathlib.Path(workdir, FOLDER).glob("*.json"))
    ]


def _read(path: pathlib.Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _write_tiles(
    workdir: str | os.PathLike[str],
    file_name: str,
    picture: ScoredPicture,
    labels: LabelSet,
) -> dict[str, Any]:
    picture = shrunk(picture)
    names = {}
    for tile, data in tiles(picture, labels).items():
        names[tile] = f"{file_name}_{tile}.jpg"
        files.replace(os.path.join(workdir, PICTURES, names[tile]), data)
    return {
        "name": picture.name,
        "score": float(picture.score),
        "classes": legend(picture, labels),
        "tiles": names,
    }


def _tile_files(record: Mapping[str, Any]) -> set[str]:
    """Names of the tiles' files, without folders: nothing else may be removed."""
    return {
        os.path.basename(name)
        for kind in ("worst", "best")
        for picture in record[kind]
        for name in picture["tiles"].values()
    }
