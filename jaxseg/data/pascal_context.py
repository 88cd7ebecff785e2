"""PASCAL-Context: the photographs of VOC 2010 with every pixel labelled."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from jaxseg.data import folder, pictures, published
from jaxseg.data import labels as labels_lib

# Where masks may be, and the numbering of their ids in the class table.
_MASKS = {
    59: {
        "SegmentationClassContext": "",
        "59_context_labels": "59_context_labels",
        "trainval": "",  # 459 ids, reduced when read
    },
    33: {"33_context_labels": ""},
}
_LISTS = ("SegmentationContext", "Main")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PascalContext(published.Published):
    """PASCAL-Context, 4998 pictures to train on and 5105 to validate.

    The 59 classes are those that are frequent among 459, the 33 those of zero-shot
    work; all else is background, id 0 in the masks. Masks of 59 classes go about in
    two numberings, alphabetical in `SegmentationClassContext` (as other libraries
    convert them) and VOC's 20 classes first in `59_context_labels`; the folder says
    which, and train ids are alphabetical with both. Folders are looked for in the
    order below.

    VOC's photographs are under Flickr's terms, annotations for research. Mottaghi et
    al., CVPR 2014.

    Attributes:
        classes: 59 or 33.
        background: whether background is a class, the first, or unlabelled.
    """

    root: str = "$JAXSEG_DATA/VOCdevkit/VOC2010"
    classes: int = 59
    background: bool = False

    title: ClassVar[str] = "PASCAL-Context"
    origin: ClassVar[str] = (
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2010 for the pictures and lists, "
        "https://cs.stanford.edu/~roozbeh/pascal-context for masks: trainval.tar.gz, "
        "59_context_labels.tar.gz or 33_context_labels.tar.gz, unpacked in VOC2010"
    )
    layout: ClassVar[str] = (
        "  JPEGImages/ID.jpg\n"
        "  SegmentationClassContext/ID.png, 59_context_labels/ID.png or\n"
        "  trainval/ID.mat; for 33 classes 33_context_labels/ID.png\n"
        "  ImageSets/SegmentationContext/<split>.txt   the IDs, one a line; or\n"
        "  ImageSets/Main/train.txt and val.txt        as VOC 2010 has them"
    )

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "59": {"classes": 59},
        "33": {"classes": 33},
    }

    def __post_init__(self):
        super().__post_init__()
        if self.classes not in _MASKS:
            raise ValueError(f"config.data.classes is 59 or 33: {self.classes}")

    def published_sizes(self) -> Mapping[str, int]:
        return {"train": 4998, "val": 5105, "trainval": 10103}

    def read_labels(self) -> labels_lib.LabelSet:
        self.check_exists()
        layout = _MASKS[self.classes][self._masks().name]
        return labels_lib.read_table(f"pascal_context_{self.classes}", layout=layout)

    def choose(self, table: labels_lib.LabelSet) -> labels_lib.LabelSet:
        return published.without_background(table, self.background)

    def find_splits(self) -> tuple[str, ...]:
        names = ("train", "trainval", "val")
        return tuple(name for name in names if self._list(name) is not None)

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        masks = self._masks()
        return (
            folder.files_by_name(self.path / "JPEGImages"),
            {f.stem: f for f in sorted(masks.glob("*.mat"))}
            if masks.name == "trainval"
            else folder.files_by_name(masks),
        )

    def read_list(self, split: str) -> list[str] | None:
        file = self._list(split)
        return None if file is None else folder.read_names(file.read_text().split())

    def plain_mask(self, file: pathlib.Path) -> pictures.Picture:
        if file.suffix != ".mat":
            return file
        ids = published.read_matlab(file, "LabelMap")
        few = _of_459()[ids]
        # Ids of 8 bits are stored so, as copies say that masks are.
        return published.as_png(few if few.max() > 255 else few.astype(np.uint8))

    def _masks(self) -> pathlib.Path:
        folders = [self.path / name for name in _MASKS[self.classes]]
        found = [folder for folder in folders if folder.is_dir()]
        if not found:
            raise FileNotFoundError(
                f"{self.title} at {self.path}: there is no folder of masks of "
                f"{self.classes} classes ({', '.join(f.name for f in folders)}). "
                f"Expected:\n{self.layout}\nGet it from: {self.origin}"
            )
        return found[0]

    def _list(self, split: str) -> pathlib.Path | None:
        files = (self.path / "ImageSets" / name / f"{split}.txt" for name in _LISTS)
        return next((file for file in files if file.is_file()), None)


@functools.cache
def _of_459() -> np.ndarray:
    """Ids among 60 by id among 459: background for the others of the 459."""
    numbers = labels_lib.read_table(
        "pascal_context_59", layout="trainval"
    ).class_raw_ids
    table = np.arange(65536, dtype=np.uint16)  # what is no id of 459 stays unknown
    table[:460] = 0
    table[list(numbers)] = np.arange(len(numbers))
    return table
