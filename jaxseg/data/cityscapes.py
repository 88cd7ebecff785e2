"""Cityscapes: street scenes of 50 cities, 19 of its classes, fine or coarse masks."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar

from jaxseg.data import labels as labels_lib
from jaxseg.data import published

_IMAGE = "_leftImg8bit"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cityscapes(published.Published):
    """Cityscapes as it is distributed; see `published.Published` for other options.

    Masks are `labelIds` files; those of the 34 ids that are not scored are unlabelled.
    Fine masks are of 2975 pictures to train on, 500 to validate, and 1525 to test,
    which are blank: scores come from the authors' server. Coarse ones are of the same
    2975 and 500, and of 19998 more, the split "train_extra".

    Free for research and personal use after registration, not to be passed on, and
    scores are to be published with the reference: Cordts et al., CVPR 2016.

    Attributes:
        quality: "fine" or "coarse".
    """

    root: str = "$JAXSEG_DATA/cityscapes"
    quality: str = "fine"

    title: ClassVar[str] = "Cityscapes"
    origin: ClassVar[str] = (
        "https://www.cityscapes-dataset.com (free account): "
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, unpacked together; "
        "for coarse masks gtCoarse.zip and leftImg8bit_trainextra.zip too"
    )
    layout: ClassVar[str] = (
        f"  leftImg8bit/<split>/<city>/NAME{_IMAGE}.png\n"
        "  gtFine/<split>/<city>/NAME_gtFine_labelIds.png\n"
        "  gtCoarse/<split>/<city>/NAME_gtCoarse_labelIds.png   if coarse"
    )
    unlabelled: ClassVar[tuple[str, ...]] = ("test",)
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "fine": {"quality": "fine"},
        "coarse": {"quality": "coarse"},
    }

    def __post_init__(self):
        super().__post_init__()
        if self.quality not in self.variants:
            raise ValueError(
                f"config.data.quality is 'fine' or 'coarse': {self.quality!r}"
            )

    def published_sizes(self) -> Mapping[str, int]:
        if self.quality == "coarse":
            return {"train": 2975, "train_extra": 19998, "val": 500}
        return {"train": 2975, "val": 500, "test": 1525}

    def read_labels(self) -> labels_lib.LabelSet:
        return labels_lib.CITYSCAPES

    def find_splits(self) -> tuple[str, ...]:
        if self.quality == "coarse":
            folders = {p.name for p in self.path.glob("gtCoarse/*") if p.is_dir()}
        else:
            folders = {p.name for p in self.path.glob("leftImg8bit/*") if p.is_dir()}
            folders -= {"train_extra"}  # has no fine masks
        return tuple(sorted(folders))

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        masks = f"gt{self.quality.capitalize()}"
        return (
            _by_city(self.path / "leftImg8bit" / split, _IMAGE),
            _by_city(self.path / masks / split, f"_{masks}_labelIds"),
        )

    def read_list(self, split: str) -> list[str] | None:
        return None


def _by_city(root: pathlib.Path, ending: str) -> dict[str, pathlib.Path]:
    files = sorted(root.glob(f"*/*{ending}.png"))
    return {f"{f.parent.name}/{f.stem.removesuffix(ending)}": f for f in files}
