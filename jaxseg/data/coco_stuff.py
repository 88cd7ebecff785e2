"""COCO-Stuff: photographs with 80 things and 91 kinds of stuff, in two editions."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import ClassVar

from jaxseg.data import folder, pictures, published
from jaxseg.data import labels as labels_lib
from jaxseg.data.splits import NEVER_LABELLED


@dataclasses.dataclass(frozen=True, kw_only=True)
class CocoStuff10k(published.Published):
    """COCO-Stuff 10k v1.1, 9000 pictures to train on and 1000 to test, 171 classes.

    Not v1.0, whose ids are others.

    Masks hold 1 to 182, eleven of them never, and 0, unlabelled. They come as MATLAB
    files, which are read as they are, slowly; a copy made by
    `python -m jaxseg.tools.prepare_data coco_stuff_10k` holds PNGs. Grey PNGs of the
    same ids in their place are read too. Options are those of `published.Published`.

    Annotations CC BY 4.0, pictures under Flickr's terms. Caesar et al., CVPR 2018.
    """

    root: str = "$JAXSEG_DATA/cocostuff-10k-v1.1"

    title: ClassVar[str] = "COCO-Stuff 10k"
    origin: ClassVar[str] = (
        "https://github.com/nightrome/cocostuff10k: cocostuff-10k-v1.1.zip"
    )
    layout: ClassVar[str] = (
        "  images/ID.jpg\n"
        "  annotations/ID.mat           or ID.png\n"
        "  imageLists/<split>.txt       the IDs, one a line; train, test and all"
    )

    def published_sizes(self) -> Mapping[str, int]:
        return {"train": 9000, "test": 1000, "all": 10000}

    def read_labels(self) -> labels_lib.LabelSet:
        table = labels_lib.read_table("coco_stuff")
        one_more = tuple(i + 1 for i in table.class_raw_ids)
        table = dataclasses.replace(table, raw_ids=one_more, ignored_raw_ids=(0,))
        return table.without(NEVER_LABELLED)

    def find_splits(self) -> tuple[str, ...]:
        return tuple(sorted(p.stem for p in self.path.glob("imageLists/*.txt")))

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        masks = self.path / "annotations"
        matlab = {file.stem: file for file in sorted(masks.glob("*.mat"))}
        everything = matlab | folder.files_by_name(masks)
        return folder.files_by_name(self.path / "images"), everything

    def read_list(self, split: str) -> list[str] | None:
        file = self.path / "imageLists" / f"{split}.txt"
        return folder.read_names(file.read_text().split())

    def plain_mask(self, file: pathlib.Path) -> pictures.Picture:
        if file.suffix != ".mat":
            return file
        return published.as_png(published.read_matlab(file, "S"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CocoStuff164k(published.Published):
    """COCO-Stuff of all pictures of COCO 2017, 118287 to train on, 5000 to validate.

    Masks hold 0 to 181, eleven of them never, and 255, unlabelled. Options are those
    of `published.Published`.

    Annotations CC BY 4.0, pictures under Flickr's terms. Caesar et al., CVPR 2018.

    Attributes:
        classes: 171, or 182 with the eleven that are in no picture, which zero-shot
            methods count among the seen ones.
    """

    root: str = "$JAXSEG_DATA/coco_stuff164k"
    classes: int = 171

    title: ClassVar[str] = "COCO-Stuff 164k"
    origin: ClassVar[str] = (
        "https://github.com/nightrome/cocostuff: train2017.zip, val2017.zip, both to "
        "images/, and stuffthingmaps_trainval2017.zip, to annotations/"
    )
    layout: ClassVar[str] = (
        "  images/train2017/ID.jpg, images/val2017/ID.jpg\n"
        "  annotations/train2017/ID.png, annotations/val2017/ID.png"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.classes not in (171, 182):
            raise ValueError(f"config.data.classes is 171 or 182: {self.classes}")

    def published_sizes(self) -> Mapping[str, int]:
        return {"train": 118287, "val": 5000}

    def read_labels(self) -> labels_lib.LabelSet:
        return labels_lib.read_table("coco_stuff")

    def choose(self, table: labels_lib.LabelSet) -> labels_lib.LabelSet:
        return table if self.classes == 182 else table.without(NEVER_LABELLED)

    def find_splits(self) -> tuple[str, ...]:
        folders = self.path.glob("images/*2017")
        return tuple(sorted(p.name.removesuffix("2017") for p in folders))

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        masks = folder.files_by_name(self.path / "annotations" / f"{split}2017")
        return (
            folder.files_by_name(self.path / "images" / f"{split}2017"),
            # Other libraries lay masks of their own train ids beside these.
            {n: f for n, f in masks.items() if not n.endswith("_labelTrainIds")},
        )

    def read_list(self, split: str) -> list[str] | None:
        return None
