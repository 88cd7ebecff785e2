"""PASCAL VOC 2012: photographs of things, 20 classes and background."""

import dataclasses
import pathlib
from typing import ClassVar

from jaxseg.data import folder
from jaxseg.data import labels as labels_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class VOC(folder.Folder):
    """VOC as it is distributed, or in one folder per split; see `folder.Folder`.

    Masks are palette pictures whose values are class ids, 255 at the borders of things.
    A class table in the folder (`classes.json`) overrides the usual classes.
    """

    root: str = "$JAXSEG_DATA/voc_mini"

    title: ClassVar[str] = "PASCAL VOC"
    origin: ClassVar[str] = (
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012, the folder VOC2012 of the "
        "development kit"
    )
    layout: ClassVar[str] = (
        "  JPEGImages/ID.jpg\n"
        "  SegmentationClass/ID.png\n"
        "  ImageSets/Segmentation/<split>.txt   the IDs, one a line\n"
        "or\n"
        "  <split>/images/ID.jpg\n"
        "  <split>/masks/ID.png\n"
        "  <split>/list.txt   optional: the IDs to use, one a line\n"
        "  classes.json       optional: ids, names, colours and the ignored id"
    )

    def read_labels(self) -> labels_lib.LabelSet:
        self.check_exists()
        file = self.path / "classes.json"
        if not file.is_file():
            return labels_lib.VOC
        return folder.read_class_table(file, layout=self.layout)

    def find_splits(self) -> tuple[str, ...]:
        if not self._is_distributed:
            return super().find_splits()
        return tuple(sorted(file.stem for file in self._lists.glob("*.txt")))

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        if self._is_distributed:
            images, masks = self.path / "JPEGImages", self.path / "SegmentationClass"
        else:
            images, masks = self.path / split / "images", self.path / split / "masks"
        return folder.files_by_name(images), folder.files_by_name(masks)

    def read_list(self, split: str) -> list[str] | None:
        if not self._is_distributed:
            return super().read_list(split)
        return folder.read_names((self._lists / f"{split}.txt").read_text().split())

    @property
    def _lists(self) -> pathlib.Path:
        return self.path / "ImageSets" / "Segmentation"

    @property
    def _is_distributed(self) -> bool:
        return self._lists.is_dir()
