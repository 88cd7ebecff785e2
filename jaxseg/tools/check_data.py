"""Looks at a folder of pictures and masks before anyone trains on it.

    python -m jaxseg.tools.check_data DIR
    python -m jaxseg.tools.check_data DIR --name voc.VOC --report runs/voc_data
    python -m jaxseg.tools.check_data DIR --name imagenet_s.ImageNetS --set classes=300

Prints the classes, how often they occur, and what is wrong: how many files, which, and
the config line that mends it. Options have the names of the keys of `config.data` and
mean what they mean there; `--set KEY=VALUE`, as often as need be, gives any other key,
such as the variant of a published data set. Ends with 0 if there is nothing to mend or
to look at, with 1 otherwise. `--report DIR` writes report.html, with pictures; `--json`
prints JSON.
"""

import argparse
import ast
import json
import sys
from collections.abc import Sequence
from typing import Any

from jaxseg import config as config_lib
from jaxseg.data import folder
from jaxseg.data.inspection import Finding, Inspection, inspect
from jaxseg.data.labels import UNKNOWN
from jaxseg.reporting.progress import Progress
from jaxseg.tools import data_page


def make_dataset(root: str, *, name: str, **options: Any) -> folder.PairFolder:
    """Builds the data set that training would read.

    Args:
        root: the folder.
        name: as in `config.data.name`.
        **options: further keys of `config.data`; None for the default.

    Raises:
        ConfigError: if there is no such data set, it is not of files, or it does not
            have an option.
    """
    given = {key: value for key, value in options.items() if value is not None}
    dataset = config_lib.make("data", {"name": name, "root": root, **given})
    if not isinstance(dataset, folder.PairFolder):
        raise config_lib.ConfigError(f"{name} is no folder of pictures and masks")
    return dataset


def table(inspection: Inspection) -> list[str]:
    """Writes an inspection as lines: splits, classes, findings, and a summary."""
    lines = [f"{inspection.evidence.dataset.path}", "", *_split_table(inspection), ""]
    if inspection.labels is not None:
        lines += [*_class_table(inspection), ""]
    for finding in inspection.findings:
        lines += [*_finding(finding), ""]
    levels = [finding.level for finding in inspection.findings]
    verdict = "nothing to mend"
    if "error" in levels:
        verdict = "mend this before training"
    elif "warning" in levels:
        verdict = "look at this before training"
    return [*lines, f"{data_page.counts(inspection)}: {verdict}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job; 0 if the folder will do."""
    given = _parser().parse_args(arguments)
    bar = _Bar()
    try:
        dataset = make_dataset(given.root, name=given.name, **_options(given))
        inspection = inspect(
            dataset,
            crop=given.crop,
            num_threads=given.num_threads,
            progress=bar,
        )
    except (OSError, ValueError) as error:
        print(f"check_data: {error}", file=sys.stderr)
        return 1
    finally:
        bar.close()
    if given.report:
        page = data_page.write(inspection, given.report)
    if given.json:
        print(json.dumps(inspection.as_json(), indent=2))
    else:
        print("\n".join(table(inspection)))
        if given.report:
            print(f"pictures are in {page}")
    return 0 if inspection.passed else 1


class _Bar:
    """A progress bar that begins when it is known how many files there are."""

    def __init__(self):
        self._progress: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        self._progress = self._progress or Progress(total)
        self._progress.update(done)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jaxseg.tools.check_data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("root", help="the folder")
    parser.add_argument(
        "--name", default="folder.Folder", help="layout, such as voc.VOC"
    )
    parser.add_argument(
        "--class_ids", type=_ids, help="ids of the classes in the masks, as 0,1,2"
    )
    parser.add_argument(
        "--ignore_id", type=_ids, help="ids that are unlabelled besides the usual one"
    )
    parser.add_argument("--unknown", choices=("raise", "ignore"))
    parser.add_argument("--masks", choices=("ids", "rgb"))
    parser.add_argument(
        "--set",
        action="append",
        type=_setting,
        default=[],
        metavar="KEY=VALUE",
        help="another key of config.data, such as classes=300 or quality=coarse",
    )
    parser.add_argument(
        "--crop",
        type=_size,
        default=(320, 320),
        help="height,width of training crops; default: that of configs/folder.py",
    )
    parser.add_argument("--num_threads", type=int, help="that decode")
    parser.add_argument("--report", help="folder for report.html")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _options(given: argparse.Namespace) -> dict[str, Any]:
    """The keys of `config.data` that arguments give, None where they do not."""
    named = ("class_ids", "ignore_id", "unknown", "masks")
    options = {key: getattr(given, key) for key in named}
    for key, value in given.set:
        if key in ("root", "name") or options.get(key) is not None:
            raise config_lib.ConfigError(
                f"--set {key}={value} gives what another argument gives: keep one"
            )
        options[key] = value
    return options


def _ids(text: str) -> tuple[int, ...]:
    """Reads ids as the command line of a config does: 0 or 0,1 or (0, 1)."""
    try:
        value = ast.literal_eval(text)
        ids = value if isinstance(value, tuple) else (value,)
        return tuple(int(i) for i in ids)
    except (ValueError, SyntaxError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"not a list of ids: {text!r}") from error


def _setting(text: str) -> tuple[str, Any]:
    """Reads KEY=VALUE; a value that is no Python literal is a string."""
    key, equals, value = text.partition("=")
    if not key.isidentifier() or not equals:
        raise argparse.ArgumentTypeError(f"not KEY=VALUE: {text!r}")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def _size(text: str) -> tuple[int, int]:
    size = _ids(text)
    if len(size) != 2 or min(size) < 1:
        raise argparse.ArgumentTypeError(f"not a height and a width: {text!r}")
    return size[0], size[1]


def _split_table(inspection: Inspection) -> list[str]:
    rows: list[Sequence[str]] = [("split", "pictures", "smallest", "largest")]
    for split in inspection.splits:
        sizes = (f"{w}x{h}" for h, w in (split.smallest, split.largest))
        rows.append((split.name, str(split.num_pictures), *sizes))
    return _aligned(rows)


def _class_table(inspection: Inspection) -> list[str]:
    """A line a class: its id, and its share of pixels and number of pictures."""
    labels = inspection.labels
    assert labels is not None  # the caller asked
    names = [split.name for split in inspection.splits if split.num_pictures]
    columns = (*(f"{name} %" for name in names), *(f"in {name}" for name in names))
    rows: list[Sequence[str]] = [("id", "class", *columns)]
    entries = [
        (str(raw), name, i)
        for i, (raw, name) in enumerate(
            zip(labels.class_raw_ids, labels.names, strict=True)
        )
    ]
    entries += [("", "unlabelled", labels.ignore), ("", "unknown", UNKNOWN)]
    splits = [split for split in inspection.splits if split.num_pictures]
    for raw, name, train_id in entries:
        pixels = [split.pixels.get(train_id, 0) for split in splits]
        if train_id == UNKNOWN and not any(pixels):
            continue
        totals = [max(sum(split.pixels.values()), 1) for split in splits]
        shares = [f"{100 * n / t:.2f}" for n, t in zip(pixels, totals, strict=True)]
        pictures = [str(split.pictures.get(train_id, 0)) for split in splits]
        rows.append((raw, name, *shares, *pictures))
    return _aligned(rows)


def _finding(finding: Finding) -> list[str]:
    files = [f"    {file}" for file in finding.files[:3]]
    more = finding.count - len(files)
    if files and more > 0:
        files.append(f"    and {more} more")
    return [
        f"{finding.level.upper()} {finding.kind}: {finding.text}",
        *files,
        f"  fix: {finding.fix}",
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Pads columns; the first two are words, the others numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


if __name__ == "__main__":
    sys.exit(main())
