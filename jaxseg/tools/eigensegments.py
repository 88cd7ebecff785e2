r"""Makes the eigensegments of a folder of pictures (Deep Spectral Segmentation).

    python -m jaxseg.tools.eigensegments --images photos --out segments \
        --weights dino_deitsmall16_pretrain.pth

or, with the features of a network at hand, `--config configs/spnet_voc_mini.py` or
`--workdir runs/mine`, and `--stage`. Writes, of each picture,

- NAME_k0.png, NAME_k1.png, ...: its eigensegments at its size, 0 or 255
- NAME_panel.png: the picture with its box, eigenvectors and segments
- NAME_regions.png: with `--segments regions`, in place of the first, its regions as ids
- NAME.npz: the masks at the resolution of the grid, a bit for each node, to be read by
  `jaxseg.data.eigensegment_files.read`

The npz is written last, and all files whole or not at all: a picture that has one is
passed over, so the same command goes on where it was interrupted. `eigensegments.json`
holds the options; other options need another folder.
"""

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from absl import logging
from PIL import Image

from jaxseg import compilation_cache, predict, visualize, workfolder
from jaxseg.checkpoints import CheckpointError
from jaxseg.config import ConfigError
from jaxseg.data import eigensegment_files, pictures
from jaxseg.data.eigensegment_files import Eigensegments
from jaxseg.data.source import PictureError
from jaxseg.models.spectral_maps import SpectralMaps
from jaxseg.ops.spectral import METHODS
from jaxseg.reporting.progress import Progress
from jaxseg.tools import eigensegment_panel, spectral_source
from jaxseg.tools.spectral_pictures import Found, SpectralPictures

OPTIONS = "eigensegments.json"
FOREGROUND, REGIONS = "foreground", "regions"
NUM_REGIONS = 4
# What an output does not depend on.
FREE = ("images", "out", "batch_size", "compilation_cache")


def load(options: argparse.Namespace) -> SpectralPictures:
    """Makes what finds eigensegments, of parsed options.

    Raises:
        ConfigError: for options that name no features, or do not go together.
        FileNotFoundError: a file or run is not there.
        ValueError: weights do not fit, or a number is out of range.
    """
    check_numbers(options)
    source = spectral_source.load(options)
    maps = SpectralMaps(
        network=source.network,
        stage=source.stage,
        count=options.count,
        include_trivial=options.include_trivial,
        method=options.method,
        colour_weight=options.colour_weight,
    )
    return SpectralPictures(
        maps=maps,
        variables=source.variables,
        side=options.side,
        enlargement=options.enlargement,
        num_regions=options.num_regions if options.segments == REGIONS else None,
        batch_size=options.batch_size,
    )


def check_numbers(options: argparse.Namespace) -> None:
    """Refuses numbers that are out of range, before anything is loaded.

    Raises:
        ConfigError: naming the option.
    """
    if options.count < 1 or options.batch_size < 1:
        raise ConfigError(
            f"--count {options.count} and --batch_size {options.batch_size} must be at "
            "least 1"
        )
    if options.colour_weight < 0:
        raise ConfigError(f"--colour_weight {options.colour_weight} is below 0")
    if options.segments != REGIONS:
        return
    most = eigensegment_panel.REGIONS.num_classes
    if options.num_regions == 1 or not 0 <= options.num_regions <= most:
        raise ConfigError(
            f"--num_regions {options.num_regions}: give 2 to {most}, or 0 for as many "
            "as the eigenvalues of each picture suggest"
        )
    if options.include_trivial:
        raise ConfigError("--segments regions has no use for --include_trivial")


def claim(options: argparse.Namespace) -> None:
    """Records the options in the folder, or refuses one of other options.

    Raises:
        ConfigError: naming what differs.
    """
    given = {key: value for key, value in vars(options).items() if key not in FREE}
    path = os.path.join(options.out, OPTIONS)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            recorded = json.load(file)
        differ = [
            f"{key}: {recorded.get(key)!r} -> {given.get(key)!r}"
            for key in sorted({*recorded, *given})
            if recorded.get(key) != given.get(key)
        ]
        if differ:
            raise ConfigError(
                f"{options.out} holds eigensegments of other options (there -> here):\n"
                "  " + "\n  ".join(differ) + "\ngive another --out"
            )
    os.makedirs(options.out, exist_ok=True)
    workfolder.write_json(path, given)


def write_all(
    find: SpectralPictures, files: Sequence[pathlib.Path], out: str
) -> tuple[int, int]:
    """Writes the eigensegments of pictures that have none yet.

    Args:
        find: of `load`.
        files: the pictures; one that cannot be read or is too small is named, and the
            others go on.
        out: the folder.

    Returns:
        How many were written, and how many could not be.
    """
    left = [path for path in files if not os.path.exists(target(out, path))]
    if len(left) < len(files):
        logging.info("%d of %d are there already", len(files) - len(left), len(files))
    progress = Progress(len(left))
    written = done = 0
    try:
        for number, batch in batches(left, find):
            for (path, image), found in zip(
                batch, find([image for _, image in batch]), strict=True
            ):
                if not found.has_structure:
                    logging.warning("%s has no structure: its segments are empty", path)
                write(out, path, image, found)
            written += len(batch)
            done += number
            progress.update(done)
    finally:
        progress.close()
    return written, len(left) - written


def batches(
    files: Sequence[pathlib.Path], find: SpectralPictures
) -> Iterator[tuple[int, list[tuple[pathlib.Path, np.ndarray]]]]:
    """Reads pictures, so many at a time; how many files that took, and the pictures."""
    for start in range(0, len(files), find.batch_size):
        chosen = files[start : start + find.batch_size]
        batch = []
        for path in chosen:
            try:
                image = pictures.read_image(path)
                find.check(image)
            except PictureError as error:
                logging.error("%s", error)
            except ValueError as error:
                logging.error("%s: %s", path, error)
            else:
                batch.append((path, image))
        yield len(chosen), batch


def target(out: str, path: pathlib.Path) -> str:
    """The file that says that a picture is done."""
    return os.path.join(out, f"{path.stem}{eigensegment_files.SUFFIX}")


def write(out: str, path: pathlib.Path, image: np.ndarray, found: Found) -> None:
    """Writes all files of a picture, the one that says that it is done last."""
    stem = os.path.join(out, path.stem)
    if found.regions is None:
        masks = found.segments.astype(np.uint8) * 255
        for k in range(masks.shape[-1]):
            whole(f"{stem}_k{k}.png", Image.fromarray(masks[..., k]).save)
    else:
        ids = found.enlarge(found.regions)
        whole(
            f"{stem}_regions.png",
            lambda part: visualize.save_mask(part, ids, eigensegment_panel.REGIONS),
        )
    sheet = eigensegment_panel.panel(image, found)
    whole(f"{stem}_panel.png", lambda part: visualize.save_picture(part, sheet))
    height, width, _ = image.shape
    eigensegment_files.write(
        target(out, path), Eigensegments(found.masks, (height, width), found.covered)
    )


def whole(path: str, save: Callable[[str], Any]) -> None:
    """Has a file written under another name and then exchanges it."""
    folder, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    part = os.path.join(folder, f".{stem}.part{suffix}")
    save(part)
    os.replace(part, path)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        prog="python -m jaxseg.tools.eigensegments",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--images", required=True, help="a picture, or a folder")
    made.add_argument("--out", required=True, help="folder for the results")
    spectral_source.add_arguments(made)
    made.add_argument("--count", type=int, default=5, help="K, how many eigenvectors")
    made.add_argument(
        "--include_trivial",
        action="store_true",
        help="count the constant eigenvector as the first, as the authors' code does",
    )
    made.add_argument("--method", choices=METHODS, default="auto", help="of the solver")
    made.add_argument(
        "--colour_weight",
        type=float,
        default=0.0,
        help="of neighbours by colour in the affinity; 10 in the authors' matting",
    )
    made.add_argument("--segments", choices=(FOREGROUND, REGIONS), default=FOREGROUND)
    made.add_argument(
        "--num_regions",
        type=int,
        default=NUM_REGIONS,
        help="of --segments regions; 0: by the largest gap of each picture's "
        "eigenvalues",
    )
    made.add_argument(
        "--side",
        type=int,
        help="pixels that the long side is resized to; 0: no resizing, what is over of "
        "whole nodes is cut off. Default: 512; 480 for nodes of 8 pixels",
    )
    made.add_argument(
        "--enlargement", choices=("bilinear", "nearest"), default="bilinear"
    )
    made.add_argument("--batch_size", type=int, default=4, help="pictures at a time")
    made.add_argument(
        "--compilation_cache",
        help="folder that keeps compiled programs, '' for none; default: "
        "$JAX_COMPILATION_CACHE_DIR, else ~/.cache/jaxseg/compiled",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and writes.

    Args:
        arguments: in place of the command line's.
    """
    options = parser().parse_args(arguments)
    compilation_cache.enable(options.compilation_cache)
    logging.set_verbosity(logging.ERROR)  # Orbax warns that it only reads
    try:
        if os.path.realpath(options.out) == os.path.realpath(options.images):
            raise ConfigError("--out must be another folder than --images")
        files = predict.list_pictures(options.images)
        find = load(options)
        claim(options)
    except (ValueError, CheckpointError, FileNotFoundError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    logging.set_verbosity(logging.INFO)
    written, failed = write_all(find, files, options.out)
    print(f"wrote eigensegments of {written} pictures to {options.out}")
    if failed:
        sys.exit(f"{failed} of {len(files)} pictures have none: see above")


if __name__ == "__main__":
    main()
