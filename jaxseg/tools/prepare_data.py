"""Copies a data set to ArrayRecord files, once, for form="tfds", and reports on it.

    python -m jaxseg.tools.prepare_data camvid --root DIR --tfds_dir DIR

Training does the same on first use; several hosts that share a disk want it before.
The copy is made in shards beside its final place, a folder that ends in .partial. If
the job is interrupted, run it again: finished shards are kept, of the one under way
nothing is, and a copy is in its place only when it is whole. If the folder has changed
meanwhile, all begins anew.

The report (pictures, share of the pixels and number of pictures of each class, and the
files that training could not use) is printed, and kept beside the copy in
prepare_data.json. Pictures without a mask, or masks without a picture, end the job
before it begins.
"""

import argparse
import contextlib
import json
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from jaxseg.data import (
    ade20k,
    camvid,
    cityscapes,
    coco,
    coco_stuff,
    extras,
    folder,
    imagenet_s,
    pascal_context,
    voc,
)

# The first of a data set's variants bears its plain name too.
DATASETS: dict[str, type[folder.PairFolder]] = {
    "ade20k": ade20k.ADE20K,
    "camvid": camvid.CamVid,
    "cityscapes": cityscapes.Cityscapes,
    "coco": coco.COCO,
    "coco_stuff_10k": coco_stuff.CocoStuff10k,
    "coco_stuff_164k": coco_stuff.CocoStuff164k,
    "folder": folder.Folder,
    "imagenet_s": imagenet_s.ImageNetS,
    "pascal_context": pascal_context.PascalContext,
    "voc": voc.VOC,
}
SECONDS_BETWEEN_LINES = 10.0
LONGEST_TABLE = 40  # classes
MOST_PROBLEMS = 10


def names() -> dict[str, tuple[type[folder.PairFolder], dict[str, Any]]]:
    """Data sets and their options by the names that the job takes."""
    found: dict[str, tuple[type[folder.PairFolder], dict[str, Any]]] = {}
    for name, kind in DATASETS.items():
        found[name] = kind, {}
        for variant, options in getattr(kind, "variants", {}).items():
            found[f"{name}_{variant}"] = kind, dict(options)
    return found


def prepare(
    name: str, *, root: str = "", tfds_dir: str = "", show: bool = False
) -> list[str]:
    """Makes the copy, unless there is one.

    Args:
        name: a key of `names()`.
        root: the folder; the data set's default if empty.
        tfds_dir: where the copy goes; where TFDS keeps its data if empty.
        show: whether to show on stderr how far it is.

    Returns:
        lines of a report: what is in each split, what is wrong, and where the copy is.
    """
    extras.require(
        "tensorflow_datasets",
        purpose="prepare_data",
        instead='data.form="folder", which needs no preparation',
    )
    from jaxseg.data import shards, tfds

    kind, options = names()[name]
    if root or kind is folder.Folder:
        options = options | {"root": root}
    dataset = kind(**options, form="tfds", tfds_dir=tfds_dir)
    with _Bar() if show else contextlib.nullcontext(_nothing) as progress:
        builder = tfds.prepare(dataset, progress=progress)
    copy = pathlib.Path(builder.data_path)
    if (copy / shards.REPORT).is_file():
        report = json.loads((copy / shards.REPORT).read_text())
        lines = [line for split in report for line in _about(split, report[split])]
    else:  # made by TFDS itself, which looks at no pixels
        splits = builder.info.splits.items()
        lines = [f"{name}: {info.num_examples} pictures" for name, info in splits]
    return [*lines, f"{dataset.labels.num_classes} classes, in {copy}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job; 1 and a message if the folder will not do."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxseg.tools.prepare_data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", choices=sorted(names()), metavar="dataset")
    parser.add_argument("--root", default="", help="folder of pictures and masks")
    parser.add_argument("--tfds_dir", default="", help="default: $TFDS_DATA_DIR")
    given = parser.parse_args(arguments)
    try:
        report = prepare(
            given.dataset, root=given.root, tfds_dir=given.tfds_dir, show=True
        )
    except (OSError, ValueError, ModuleNotFoundError) as error:
        print(f"prepare_data: {error}", file=sys.stderr)
        return 1
    print("\n".join(report))
    return 0


def _nothing(split: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


class _Bar:
    """A bar per split on a terminal; elsewhere a line now and then."""

    def __init__(self):
        from rich import console, progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.MofNCompleteColumn(),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TimeRemainingColumn(),
            console=console.Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._tasks: dict[str, Any] = {}
        self._spoke = time.monotonic()

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    def __call__(self, split: str, done: int, total: int) -> None:
        if split not in self._tasks:
            self._tasks[split] = self._bar.add_task(split, total=total)
        self._bar.update(self._tasks[split], completed=done)
        quiet = time.monotonic() - self._spoke
        if self._bar.disable and quiet > SECONDS_BETWEEN_LINES:
            print(f"{split}: {done} of {total} pictures", file=sys.stderr)
            self._spoke = time.monotonic()


def _about(split: str, found: dict[str, Any]) -> list[str]:
    """What the report says of a split; long tables and lists are in the file only."""
    lines = [f"{split}: {found['pictures']} pictures, {found['bytes'] / 1e6:.1f} MB"]
    classes, problems = found["classes"], found["problems"]
    lines += [f"  {note}" for note in found["notes"]]
    empty = [c["name"] for c in classes[:-1] if not c["pictures"]]
    if empty:
        lines.append(f"  {len(empty)} classes are in no picture: {folder.first(empty)}")
    if len(classes) <= LONGEST_TABLE:
        width = max(len(c["name"]) for c in classes)
        lines += [
            f"  {c['name']:<{width}}  {c['share']:8.4%} of pixels, "
            f"in {c['pictures']} pictures"
            for c in classes
        ]
    if problems:
        lines.append(f"  {len(problems)} PROBLEMS, which training will stop at:")
        lines += [f"    {problem}" for problem in problems[:MOST_PROBLEMS]]
    return lines


if __name__ == "__main__":
    sys.exit(main())
