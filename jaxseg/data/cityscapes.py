"""Cityscapes: street scenes of 50 cities, 19 of its classes, 2975/500/1525 pictures."""

import dataclasses
import pathlib
from typing import ClassVar

from jaxseg.data import folder
from jaxseg.data import labels as labels_lib

_IMAGE = "_leftImg8bit"
_LABEL = "_gtFine_labelIds"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cityscapes(folder.Folder):
    """Cityscapes with fine labels as it is distributed; see `folder.Folder`.

    Masks are `labelIds` files; those of the 34 ids that are not scored are unlabelled.
    """

    root: str = "$JAXSEG_DATA/cityscapes"

    title: ClassVar[str] = "Cityscapes"
    origin: ClassVar[str] = (
        "https://www.cityscapes-dataset.com (free account): "
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, unpacked together"
    )
    layout: ClassVar[str] = (
        f"  leftImg8bit/<split>/<city>/NAME{_IMAGE}.png\n"
        f"  gtFine/<split>/<city>/NAME{_LABEL}.png"
    )

    def read_labels(self) -> labels_lib.LabelSet:
        return labels_lib.CITYSCAPES

    def find_splits(self) -> tuple[str, ...]:
        return tuple(
            sorted(p.name for p in self.path.glob("leftImg8bit/*") if p.is_dir())
        )

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        return (
            _by_city(self.path / "leftImg8bit" / split, _IMAGE),
            _by_city(self.path / "gtFine" / split, _LABEL),
        )

    def read_list(self, split: str) -> list[str] | None:
        return None


def _by_city(root: pathlib.Path, ending: str) -> dict[str, pathlib.Path]:
    files = sorted(root.glob(f"*/*{ending}.png"))
    return {f"{f.parent.name}/{f.stem.removesuffix(ending)}": f for f in files}
