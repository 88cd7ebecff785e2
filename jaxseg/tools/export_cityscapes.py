"""Writes predictions of Cityscapes pictures as the benchmark's test server takes them.

    python -m jaxseg.tools.export_cityscapes --workdir W --images DIR --out DIR

where the pictures' DIR is leftImg8bit/test. Of NAME_leftImg8bit.png it writes
NAME_labelIds.png: ids as in the published labelIds files, in one channel of 8 bits at
the picture's size. The server, and the published evaluation script with it, looks for
exactly one NAME*.png of every picture in a zip of such a folder. Afterwards the folder
is read back and checked.
"""

import argparse
import collections
import os
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from absl import logging
from PIL import Image

from jaxseg import compilation_cache, predict
from jaxseg.checkpoints import CheckpointError
from jaxseg.data import labels as labels_lib
from jaxseg.data import pictures
from jaxseg.reporting.progress import Progress

ENDING, TARGET = "_leftImg8bit", "_labelIds"
TEST_PICTURES = 1525


class ExportError(ValueError):
    """A folder that the server would not take, or classes that it does not know."""


def find_pictures(root: str, *, expected: int = TEST_PICTURES) -> dict[str, str]:
    """Finds the pictures of a split, in folders of cities or in one.

    Args:
        root: the folder.
        expected: how many there must be; the server takes whole splits only.

    Returns:
        paths by NAME, such as berlin_000000_000019, sorted.

    Raises:
        ExportError: if there are more or fewer, or two of one name.
    """
    files = sorted(pathlib.Path(root).rglob(f"*{ENDING}.png"))
    found = {file.stem.removesuffix(ENDING): str(file) for file in files}
    if len(found) < len(files):
        raise ExportError(f"{root} holds several pictures of one name: keep one folder")
    if len(found) != expected:
        raise ExportError(
            f"{root} holds {len(found)} pictures NAME{ENDING}.png, expected {expected} "
            f"(the test split has {TEST_PICTURES}); say another number with --pictures"
        )
    return found


def raw_ids(labels: labels_lib.LabelSet) -> np.ndarray:
    """The Cityscapes id of every class of a run, found by its name.

    By name, since a work folder keeps no raw ids, and its classes may be in an order of
    their own.

    Args:
        labels: of the run.

    Returns:
        uint8 [C].

    Raises:
        ExportError: naming the classes that Cityscapes does not have.
    """
    cityscapes = labels_lib.CITYSCAPES
    known = dict(zip(cityscapes.names, cityscapes.class_raw_ids, strict=True))
    strange = [name for name in labels.names if name not in known]
    if strange:
        raise ExportError(
            f"the run has classes that Cityscapes has not: {', '.join(strange)}; it "
            f"has {', '.join(known)}"
        )
    return np.array([known[name] for name in labels.names], np.uint8)


def export(
    function: Callable[[np.ndarray], np.ndarray],
    labels: labels_lib.LabelSet,
    files: Mapping[str, str],
    out: str,
) -> None:
    """Predicts pictures and writes their ids.

    Args:
        function: of `predict.load`.
        labels: of `predict.load`.
        files: of `find_pictures`.
        out: folder for the masks; made if it is not there.

    Raises:
        ExportError: as `raw_ids` does.
        PictureError: if a picture cannot be read.
    """
    ids = raw_ids(labels)
    os.makedirs(out, exist_ok=True)
    progress = Progress(len(files))
    try:
        for i, (name, path) in enumerate(files.items()):
            prediction = function(pictures.read_image(path))
            mask = Image.fromarray(ids[prediction])
            mask.save(os.path.join(out, f"{name}{TARGET}.png"))
            progress.update(i + 1)
    finally:
        progress.close()


def check(files: Mapping[str, str], out: str) -> None:
    """Reads a folder back as the server will, and refuses what it would refuse.

    Args:
        files: of `find_pictures`.
        out: the folder of masks.

    Raises:
        ExportError: if a picture has no mask or several, a mask has no picture, is of
            another size or form, or holds ids that are not scored.
    """
    masks = collections.Counter(map(_name, pathlib.Path(out).rglob("*.png")))
    faults = [f"{name}*.png has no picture" for name in masks if name not in files]
    faults += [
        f"{name} has {masks[name]} masks, not one" for name in files if masks[name] != 1
    ]
    if not faults:
        faults = [
            fault for name, path in files.items() for fault in _faults(name, path, out)
        ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ExportError(
            f"{out} is not what the test server takes: {'; '.join(faults[:5])}{more}"
        )


def _name(path: pathlib.Path) -> str:
    """NAME of city_sequence_frame*.png."""
    return "_".join(path.stem.split("_")[:3])


def _faults(name: str, picture: str, out: str) -> list[str]:
    path = os.path.join(out, f"{name}{TARGET}.png")
    with Image.open(path) as mask, Image.open(picture) as image:
        if mask.mode != "L" or mask.size != image.size:
            return [
                f"{path} is {mask.mode} {mask.size}, not one channel of 8 bits at "
                f"{image.size}"
            ]
        ids = np.unique(np.asarray(mask))
    strange = np.setdiff1d(ids, labels_lib.CITYSCAPES.class_raw_ids)
    return [f"{path} holds ids that are not scored: {strange.tolist()}"][: strange.size]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, predicts and checks.

    Args:
        arguments: in place of the command line's.
    """
    parser = argparse.ArgumentParser(
        prog="python -m jaxseg.tools.export_cityscapes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workdir", required=True, help="folder of the run")
    parser.add_argument("--images", required=True, help="such as leftImg8bit/test")
    parser.add_argument("--out", required=True, help="folder for the masks")
    parser.add_argument(
        "--pictures",
        type=int,
        default=TEST_PICTURES,
        help=f"how many there must be; default: {TEST_PICTURES}, the test split",
    )
    parser.add_argument("--compilation_cache", help="as of jaxseg.predict")
    options = parser.parse_args(arguments)
    compilation_cache.enable(options.compilation_cache)
    logging.set_verbosity(logging.ERROR)  # Orbax warns that it only reads
    try:
        files = find_pictures(options.images, expected=options.pictures)
        function, labels = predict.load(options.workdir)
        export(function, labels, files, options.out)
        check(files, options.out)
    except (ValueError, CheckpointError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(f"wrote and checked {len(files)} masks in {options.out}; zip it to submit")


if __name__ == "__main__":
    main()
