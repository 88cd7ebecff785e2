"""ADE20K: scenes of all kinds, the 150 classes of the scene parsing benchmark."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import ClassVar

from jaxseg.data import folder, published
from jaxseg.data import labels as labels_lib

_FOLDERS = {"train": "training", "val": "validation"}
_TEST = ("release_test", "testing")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ADE20K(published.Published):
    """ADE20K as the benchmark of 2016 distributes it (SceneParse150).

    Masks hold 1 to 150, and 0, unlabelled, for all that is not among the classes.
    The masks of the 3352 test pictures are not public. Options are those of
    `published.Published`.

    For research and education, not for commerce; the annotations are BSD-3-Clause.
    Zhou et al., CVPR 2017.
    """

    root: str = "$JAXSEG_DATA/ADEChallengeData2016"

    title: ClassVar[str] = "ADE20K"
    origin: ClassVar[str] = (
        "http://sceneparsing.csail.mit.edu: ADEChallengeData2016.zip, and "
        "release_test.zip, unpacked in it, for the test pictures"
    )
    layout: ClassVar[str] = (
        "  images/training/ADE_train_ID.jpg, images/validation/ADE_val_ID.jpg\n"
        "  annotations/training/ADE_train_ID.png, and so for validation\n"
        "  release_test/testing/ADE_test_ID.jpg   optional, the split 'test'"
    )
    unlabelled: ClassVar[tuple[str, ...]] = ("test",)

    def published_sizes(self) -> Mapping[str, int]:
        return {"train": 20210, "val": 2000, "test": 3352}

    def read_labels(self) -> labels_lib.LabelSet:
        return labels_lib.read_table("ade20k")

    def find_splits(self) -> tuple[str, ...]:
        found = [s for s, f in _FOLDERS.items() if (self.path / "images" / f).is_dir()]
        test = ["test"] if self.path.joinpath(*_TEST).is_dir() else []
        return (*test, *found)

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        if split == "test":
            return folder.files_by_name(self.path.joinpath(*_TEST)), {}
        return (
            folder.files_by_name(self.path / "images" / _FOLDERS[split]),
            folder.files_by_name(self.path / "annotations" / _FOLDERS[split]),
        )

    def read_list(self, split: str) -> list[str] | None:
        return None
