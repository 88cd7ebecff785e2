"""The page of an inspection: findings with pictures, frequencies, samples.

One file that needs no other and no network; pictures are inside it.
"""

import base64
import collections
import dataclasses
import html
import io
import itertools
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from jaxseg import visualize
from jaxseg.data import pictures
from jaxseg.data.inspection import LEVELS, Finding, Inspection
from jaxseg.data.labels import UNKNOWN
from jaxseg.data.pair_list import Pair
from jaxseg.data.source import PictureError

SAMPLES = 6  # of each split
WIDTH = 360  # of a picture on the page
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1160px;
  padding: 0 1em; color: #202226; }
h1 { font-size: 1.4em; overflow-wrap: anywhere } h2 { margin-top: 2em; }
table { border-collapse: collapse; } th { text-align: left; }
td, th { padding: 2px 12px 2px 0; border-bottom: 1px solid #ddd; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.box { display: inline-block; width: 12px; height: 12px; margin-right: 6px;
  border: 1px solid #999; }
.bar { background: #4a78b5; height: 10px; display: inline-block; }
section { border-left: 5px solid #999; padding: 0 0 0 1em; margin: 1.5em 0; }
section.error { border-color: #c62828 } section.warning { border-color: #ef9a00 }
pre, code { background: #f3f3f1; padding: 2px 5px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
figure { display: inline-block; margin: 0 10px 10px 0; width: 360px;
  vertical-align: top; }
figure img { max-width: 100%; display: block; }
figcaption { font-size: 12px; color: #555; overflow-wrap: anywhere; }
"""


def write(inspection: Inspection, folder: str) -> pathlib.Path:
    """Writes report.html into a folder, which is made if it is not there.

    Args:
        inspection: what was found.
        folder: where to.

    Returns:
        the file.
    """
    path = pathlib.Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    file = path / "report.html"
    file.write_text(page(inspection), encoding="utf-8")
    return file


def page(inspection: Inspection) -> str:
    """Writes an inspection as HTML."""
    root = html.escape(str(inspection.evidence.dataset.path))
    parts = itertools.chain(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            f"<title>{root}</title><style>{_STYLE}</style><h1>{root}</h1>",
            f"<p>{counts(inspection)}</p>",
        ],
        (_finding(inspection, finding) for finding in inspection.findings),
        _frequencies(inspection),
        _samples(inspection),
    )
    return "\n".join(parts) + "\n"


def counts(inspection: Inspection) -> str:
    """Says how many findings there are: "1 error, 0 warnings, 2 notes"."""
    found = collections.Counter(finding.level for finding in inspection.findings)
    return ", ".join(
        f"{found[level]} {level}{'s' * (found[level] != 1)}" for level in LEVELS
    )


def _finding(inspection: Inspection, finding: Finding) -> str:
    shown = "".join(_figure(inspection, file) for file in finding.files[:2])
    names = "<br>".join(html.escape(str(file)) for file in finding.files[:5])
    return (
        f"<section class={finding.level}><h3>{finding.level}: {finding.kind}</h3>"
        f"<p>{html.escape(finding.text)}</p>"
        f"<p>Fix: <code>{html.escape(finding.fix)}</code></p>"
        f"<p><small>{names}</small></p>{shown}</section>"
    )


def _frequencies(inspection: Inspection) -> Iterator[str]:
    labels = inspection.labels
    if labels is None:
        return
    entries = [
        (i, name, labels.palette[i], str(labels.class_raw_ids[i]))
        for i, name in enumerate(labels.names)
    ]
    entries.append((labels.ignore, "unlabelled", visualize.VOID, ""))
    entries.append((UNKNOWN, "unknown", visualize.WRONG, ""))
    for split in inspection.splits:
        total = sum(split.pixels.values())
        if not total:
            continue
        yield f"<h2>{html.escape(split.name)}: {split.num_pictures} pictures</h2>"
        yield "<table><tr><th>class<th>id<th>pixels<th><th>pictures</tr>"
        for train_id, name, colour, raw in entries:
            share = split.pixels.get(train_id, 0) / total
            if train_id == UNKNOWN and not share:
                continue
            yield (
                f'<tr><td><span class=box style="background:rgb{colour}"></span>'
                f"{html.escape(name)}<td class=n>{raw}<td class=n>{share:.2%}"
                f'<td><span class=bar style="width:{300 * share:.1f}px"></span>'
                f"<td class=n>{split.pictures.get(train_id, 0)}</tr>"
            )
        yield "</table>"


def _samples(inspection: Inspection) -> Iterator[str]:
    for split in inspection.evidence.splits:
        if not split.pairs:
            continue
        yield f"<h2>Samples of {html.escape(split.name)}</h2>"
        step = max(1, len(split.pairs) // SAMPLES)
        for pair in split.pairs[::step][:SAMPLES]:
            yield _figure(inspection, pair.image)


def _figure(inspection: Inspection, file: pathlib.Path) -> str:
    """A file with its counterpart: a picture under the colours of its mask."""
    pair = _pair_of(inspection, file)
    try:
        shown = _overlaid(inspection, pair) if pair else None
        if shown is None:
            shown = _alone(inspection, file)
    except PictureError:
        return ""  # the finding says that it cannot be read
    return (
        f'<figure><img alt="" src="{_data_url(shown)}">'
        f"<figcaption>{html.escape(file.name)}</figcaption></figure>"
    )


def _pair_of(inspection: Inspection, file: pathlib.Path) -> Pair | None:
    for split in inspection.evidence.splits:
        for pair in split.pairs:
            if file in (pair.image, pair.label):
                return pair
    return None


def _overlaid(inspection: Inspection, pair: Pair) -> np.ndarray | None:
    """A picture and its mask, unknown pixels red; None if they do not go together."""
    evidence = inspection.evidence
    mask = evidence.masks[pair.label]
    if evidence.labels is None or (mask.in_colour and evidence.colours is None):
        return None
    table = evidence.labels.lookup_table()
    marked = evidence.labels.num_classes  # an id that no class has
    colours = evidence.colours
    if colours is not None:
        colours = dataclasses.replace(colours, unknown=marked)
    try:
        example = pictures.read_example(
            pair.image,
            evidence.dataset.plain_mask(pair.label),
            labels=evidence.labels,
            table=np.where(table == UNKNOWN, marked, table).astype(table.dtype),
            colours=colours,
        )
    except PictureError:
        return None
    ids = example["label"]
    shown = visualize.overlay(example["image"], ids, evidence.labels)
    shown[ids == marked] = visualize.WRONG
    return shown


def _alone(inspection: Inspection, file: pathlib.Path) -> np.ndarray:
    """A picture as it is; a mask of ids with its contrast stretched."""
    mask = inspection.evidence.masks.get(file)
    if mask is None or mask.in_colour or mask.problem:
        return pictures.read_image(file)
    plain = inspection.evidence.dataset.plain_mask(file)
    ids = pictures.read_label(plain).astype(np.int64)
    grey = (255 * ids // max(int(ids.max()), 1)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _data_url(shown: np.ndarray) -> str:
    picture = Image.fromarray(np.ascontiguousarray(shown))
    picture.thumbnail((WIDTH, WIDTH))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
