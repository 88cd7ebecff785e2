"""PASCAL VOC 2012: photographs of things, 20 classes and background."""

import dataclasses
import pathlib
import xml.etree.ElementTree as xml
from collections.abc import Mapping
from typing import ClassVar

from jaxseg.data import folder, pictures, published
from jaxseg.data import labels as labels_lib
from jaxseg.data.source import PictureError

AUGMENTED = "train_aug"
_AUGMENTED_LISTS = ("train_aug.txt", "trainaug.txt")  # both names go about


@dataclasses.dataclass(frozen=True, kw_only=True)
class VOC(published.Published):
    """VOC as it is distributed, or in one folder per split.

    Masks are palette pictures whose values are class ids, 255 at the borders of things.
    A class table in the folder (`classes.json`) overrides the usual classes. Image
    labels are those of the files in `Annotations` where there are any.

    The split "train_aug" adds the masks of SBD (Hariharan et al., ICCV 2011) to those
    of "train": 10582 pictures, none of "val". They are `SegmentationClassAug`, or SBD
    as it is distributed; the list is the usual `train_aug.txt`, or is made by its rule
    (all of SBD and "train" that is not in "val") where it is missing.

    Pictures under Flickr's terms, annotations for research. Everingham et al., IJCV
    2010. Options are also those of `published.Published`.

    Attributes:
        background: whether background is a class, the first, or unlabelled, as in
            some zero-shot protocols.
    """

    root: str = "$JAXSEG_DATA/VOCdevkit/VOC2012"
    background: bool = True

    title: ClassVar[str] = "PASCAL VOC"
    origin: ClassVar[str] = (
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012, the folder VOC2012 of the "
        "development kit; for train_aug also SBD, "
        "http://home.bharathh.info/pubs/codes/SBD, unpacked in it"
    )
    layout: ClassVar[str] = (
        "  JPEGImages/ID.jpg\n"
        "  SegmentationClass/ID.png\n"
        "  ImageSets/Segmentation/<split>.txt   the IDs, one a line\n"
        "  Annotations/ID.xml                   optional: image labels\n"
        "  SegmentationClassAug/ID.png          optional: split train_aug, or\n"
        "  benchmark_RELEASE/dataset/cls/ID.mat, train.txt, val.txt\n"
        "or\n"
        "  <split>/images/ID.jpg\n"
        "  <split>/masks/ID.png\n"
        "  <split>/list.txt   optional: the IDs to use, one a line\n"
        "  classes.json       optional: ids, names, colours and the ignored id"
    )
    unlabelled: ClassVar[tuple[str, ...]] = ("test",)

    def published_sizes(self) -> Mapping[str, int]:
        if not self._is_distributed:
            return {}  # somebody's own choice of pictures
        sizes = {"train": 1464, "val": 1449, "trainval": 2913, "test": 1456}
        return sizes | {AUGMENTED: 10582}

    def read_labels(self) -> labels_lib.LabelSet:
        self.check_exists()
        file = self.path / "classes.json"
        if not file.is_file():
            return labels_lib.VOC
        return folder.read_class_table(file, layout=self.layout)

    def choose(self, table: labels_lib.LabelSet) -> labels_lib.LabelSet:
        return published.without_background(table, self.background)

    def find_splits(self) -> tuple[str, ...]:
        if not self._is_distributed:
            return super().find_splits()
        lists = {p.stem for p in self._lists.glob("*.txt")} - {"trainaug", AUGMENTED}
        augmented = self._augmented_masks.is_dir() or self._sbd.is_dir()
        return tuple(sorted(lists | ({AUGMENTED} if augmented else set())))

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        if not self._is_distributed:
            images, masks = self.path / split / "images", self.path / split / "masks"
            return folder.files_by_name(images), folder.files_by_name(masks)
        images, masks = self.path / "JPEGImages", self.path / "SegmentationClass"
        if split != AUGMENTED:
            return folder.files_by_name(images), folder.files_by_name(masks)
        if self._augmented_masks.is_dir():
            masks = self._augmented_masks
            return folder.files_by_name(images), folder.files_by_name(masks)
        sbd = {file.stem: file for file in sorted(self._sbd.glob("cls/*.mat"))}
        # VOC's own masks where there are both: SBD's have no borders.
        return folder.files_by_name(images), sbd | folder.files_by_name(masks)

    def read_list(self, split: str) -> list[str] | None:
        if not self._is_distributed:
            return super().read_list(split)
        if split != AUGMENTED:
            return self._names(self._lists / f"{split}.txt")
        files = [self._lists / name for name in _AUGMENTED_LISTS]
        given = next((file for file in files if file.is_file()), None)
        if given is not None:
            return self._names(given)  # of one column, or of pictures and masks
        if not self._sbd.is_dir():
            raise FileNotFoundError(
                f"{self.title} at {self.path}: the list {files[0]} is missing, and "
                f"{self._sbd}, from which it can be made. Get either"
            )
        lists = (self._lists / "train.txt", *self._sbd.glob("*.txt"))
        names = {name for file in lists for name in self._names(file)}
        return sorted(names - {*self._names(self._lists / "val.txt")})

    def plain_mask(self, file: pathlib.Path) -> pictures.Picture:
        if file.suffix != ".mat":
            return file
        return published.as_png(published.read_matlab(file, "GTcls", "Segmentation"))

    def annotated(self, item: published.Item) -> tuple[int, ...]:
        file = self.path / "Annotations" / f"{item.name}.xml"
        if not self._is_distributed or not file.is_file():
            return ()
        return (0, *sorted(_objects(file)))

    def _names(self, file: pathlib.Path) -> list[str]:
        return folder.read_names(file.read_text().split())

    @property
    def _lists(self) -> pathlib.Path:
        return self.path / "ImageSets" / "Segmentation"

    @property
    def _augmented_masks(self) -> pathlib.Path:
        return self.path / "SegmentationClassAug"

    @property
    def _sbd(self) -> pathlib.Path:
        return self.path / "benchmark_RELEASE" / "dataset"

    @property
    def _is_distributed(self) -> bool:
        return self._lists.is_dir()


def _objects(file: pathlib.Path) -> set[int]:
    """The ids of the classes of which a file of annotations has an object."""
    names = labels_lib.VOC.names
    try:
        found = [
            element.text or "" for element in xml.parse(file).iterfind("object/name")
        ]
        return {names.index(name) for name in found}
    except (xml.ParseError, ValueError) as error:
        raise PictureError(
            f"cannot read {file}: {error}. It should be VOC's XML whose objects bear "
            "the names of VOC's classes: replace it"
        ) from error
