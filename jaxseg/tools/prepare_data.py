"""Copies a folder of pictures and masks to ArrayRecord files, once, for form="tfds".

    python -m jaxseg.tools.prepare_data camvid --root DIR --tfds_dir DIR

Training does the same on first use; several hosts that share a disk want it before.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from jaxseg.data import camvid, cityscapes, extras, folder, voc

DATASETS: dict[str, type[folder.Folder]] = {
    "camvid": camvid.CamVid,
    "cityscapes": cityscapes.Cityscapes,
    "folder": folder.Folder,
    "voc": voc.VOC,
}


def prepare(name: str, *, root: str = "", tfds_dir: str = "") -> list[str]:
    """Makes the copy, unless there is one.

    Args:
        name: a key of `DATASETS`.
        root: the folder; the data set's default if empty.
        tfds_dir: where the copy goes; where TFDS keeps its data if empty.

    Returns:
        lines of a report: pictures and size of every split, and where they are.
    """
    extras.require(
        "tensorflow_datasets",
        purpose="prepare_data",
        instead='data.form="folder", which needs no preparation',
    )
    from jaxseg.data import tfds

    options = {"root": root} if root or name == "folder" else {}
    dataset = DATASETS[name](**options, form="tfds", tfds_dir=tfds_dir)
    builder = tfds.prepare(dataset)
    lines = [
        f"{split}: {info.num_examples} pictures, "
        f"{_megabytes(builder.data_path, info.filenames)} MB"
        for split, info in sorted(builder.info.splits.items())
    ]
    return [*lines, f"{dataset.labels.num_classes} classes, in {builder.data_path}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job; 1 and a message if the folder will not do."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxseg.tools.prepare_data", description=__doc__
    )
    parser.add_argument("dataset", choices=sorted(DATASETS))
    parser.add_argument("--root", default="", help="folder of pictures and masks")
    parser.add_argument("--tfds_dir", default="", help="default: $TFDS_DATA_DIR")
    given = parser.parse_args(arguments)
    try:
        report = prepare(given.dataset, root=given.root, tfds_dir=given.tfds_dir)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        print(f"prepare_data: {error}", file=sys.stderr)
        return 1
    print("\n".join(report))
    return 0


def _megabytes(path, filenames) -> str:
    sizes = [(pathlib.Path(path) / file).stat().st_size for file in filenames]
    return f"{sum(sizes) / 1e6:.1f}"


if __name__ == "__main__":
    sys.exit(main())
