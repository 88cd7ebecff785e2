"""COCO 2014: photographs with 80 kinds of things, as few-shot work splits them."""

import dataclasses
import pathlib
from typing import ClassVar

from jaxseg.data import folder, published, splits
from jaxseg.data import labels as labels_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class COCO(published.Published):
    """COCO 2014 with masks of its 80 classes, the data of COCO-20i.

    Masks hold 1 to 80 in COCO's order, and 0, background; they are those of the
    few-shot code HSNet (Min et al., ICCV 2021), which drew COCO's instances into one
    picture each. A split is the pictures that have a mask, of 82783 in "train" and
    40504 in "val". The folds are `unseen="coco20i_0"` to "coco20i_3". Other options are
    those of `published.Published`.

    Annotations CC BY 4.0, pictures under Flickr's terms. Lin et al., ECCV 2014.

    Attributes:
        background: whether background is a class, the first, or unlabelled.
    """

    root: str = "$JAXSEG_DATA/COCO2014"
    background: bool = True

    title: ClassVar[str] = "COCO 2014"
    origin: ClassVar[str] = (
        "https://cocodataset.org, train2014.zip and val2014.zip, and the masks from "
        "https://github.com/juhongm999/hsnet"
    )
    layout: ClassVar[str] = (
        "  train2014/COCO_train2014_ID.jpg, and so for val2014\n"
        "  annotations/train2014/COCO_train2014_ID.png, and so for val2014"
    )

    def read_labels(self) -> labels_lib.LabelSet:
        names = ("background", *splits.coco_things())
        return labels_lib.LabelSet(
            names=names,
            palette=labels_lib.colour_map(len(names)),
            ignored_raw_ids=(255,),
        )

    def choose(self, table: labels_lib.LabelSet) -> labels_lib.LabelSet:
        return published.without_background(table, self.background)

    def find_splits(self) -> tuple[str, ...]:
        folders = self.path.glob("annotations/*2014")
        return tuple(sorted(p.name.removesuffix("2014") for p in folders))

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        images = folder.files_by_name(self.path / f"{split}2014")
        masks = folder.files_by_name(self.path / "annotations" / f"{split}2014")
        # Pictures without any of the 80 classes were never drawn.
        return {name: images[name] for name in masks if name in images}, masks

    def read_list(self, split: str) -> list[str] | None:
        return None
