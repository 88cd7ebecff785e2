"""ImageNet-S: ImageNet with masks, in 50, 300 or 919 classes and "other"."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from jaxseg.data import folder, pictures, published
from jaxseg.data import labels as labels_lib
from jaxseg.data.source import PictureError

_FOLDERS = {
    "train": "train",
    "train_semi": "train-semi",
    "validation": "validation",
    "test": "test",
}
_SIZES = {
    50: {"train": 64431, "train_semi": 500, "validation": 752, "test": 1682},
    300: {"train": 384862, "train_semi": 3000, "validation": 4097, "test": 9088},
    919: {"train": 1183322, "train_semi": 9190, "validation": 12419, "test": 27423},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageNetS(published.Published):
    """ImageNet-S as its toolbox lays it out; options as in `published.Published`.

    Class 0 is "other", class k the k-th of the subset's WordNet ids in ascending order,
    so ids depend on the subset. A mask stores id R + 256 G; 1000 is unlabelled. There
    are masks of the splits "validation" and "train_semi" only. Image labels of the
    others are those of the folder, which training without supervision must not see.

    In 919 classes, five of ImageNet's are merged into others (`merged_classes`).

    Pictures for research that is not commercial, under ImageNet's terms; the masks'
    repository states none. Gao et al., TPAMI 2023.

    Attributes:
        classes: 50, 300 or 919.
    """

    root: str = "$JAXSEG_DATA/ImageNetS50"
    classes: int = 50

    title: ClassVar[str] = "ImageNet-S"
    origin: ClassVar[str] = (
        "https://github.com/LUSSeg/ImageNet-S: its script makes the folder from "
        "ImageNet-1k (https://image-net.org, free account) and the masks' archive"
    )
    layout: ClassVar[str] = (
        "  train/WNID/X.JPEG, for 919 classes also train-full/WNID/X.JPEG\n"
        "  train-semi/WNID/X.JPEG, train-semi-segmentation/WNID/X.png\n"
        "  validation/WNID/X.JPEG, validation-segmentation/WNID/X.png\n"
        "  test/WNID/X.JPEG"
    )
    unlabelled: ClassVar[tuple[str, ...]] = ("train", "test")
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        str(classes): {"classes": classes} for classes in _SIZES
    }

    def __post_init__(self):
        super().__post_init__()
        if self.classes not in _SIZES:
            raise ValueError(f"config.data.classes is 50, 300 or 919: {self.classes}")

    def published_sizes(self) -> Mapping[str, int]:
        return _SIZES[self.classes]

    def read_labels(self) -> labels_lib.LabelSet:
        ids = wordnet_ids(self.classes)
        names = labels_lib.read_json("imagenet_s")["classes"]
        return labels_lib.LabelSet(
            names=("other", *(names[i] for i in ids)),
            palette=labels_lib.colour_map(1 + len(ids)),
            ignored_raw_ids=(1000,),
        )

    def find_splits(self) -> tuple[str, ...]:
        return tuple(split for split in _FOLDERS if self._pictures(split).is_dir())

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        images = self._pictures(split)
        if images.name == "train-full":
            return _of_folders(images, self._sources()), {}
        wordnet = self._checked(images)
        masks = self.path / f"{images.name}-segmentation"
        return (
            _of_folders(images, {i: [i] for i in wordnet}),
            _of_folders(masks, {i: [i] for i in wordnet}),
        )

    def read_list(self, split: str) -> list[str] | None:
        return None

    def plain_mask(self, file: pathlib.Path) -> pictures.Picture:
        return published.as_png(decode_mask(_colours(file)))

    def annotated(self, item: published.Item) -> tuple[int, ...]:
        if item.label is not None:
            return ()  # a mask may hold several classes, the folder is one
        wordnet = item.name.partition("/")[0]
        return 0, 1 + wordnet_ids(self.classes).index(wordnet)

    def _pictures(self, split: str) -> pathlib.Path:
        folder_of_split = self.path / _FOLDERS[split]
        full = self.path / "train-full"
        if split == "train" and not folder_of_split.is_dir() and full.is_dir():
            return full
        return folder_of_split

    def _sources(self) -> dict[str, list[str]]:
        """The folders of ImageNet-1k whose pictures make up each class."""
        merged = merged_classes() if self.classes == 919 else {}
        return {
            i: [i, *(source for source, target in merged.items() if target == i)]
            for i in wordnet_ids(self.classes)
        }

    def _checked(self, images: pathlib.Path) -> list[str]:
        """The folders of a split, refused if they are those of another subset."""
        found = sorted(path.name for path in images.iterdir() if path.is_dir())
        strange = [i for i in found if i not in wordnet_ids(self.classes)]
        smaller = [k for k in _SIZES if k < self.classes]
        whole = [k for k in smaller if found == list(wordnet_ids(k))]
        if strange or whole:
            what = f"{folder.first(strange)}, which are no classes of it"
            raise ValueError(
                f"{images} is not of ImageNet-S-{self.classes}: it holds "
                f"{what if strange else f'the folders of ImageNet-S-{whole[0]}'}. "
                "The ids in masks depend on the subset: set config.data.classes"
            )
        return found


@functools.cache
def wordnet_ids(classes: int) -> tuple[str, ...]:
    """The WordNet ids of a subset, ascending: class k is at k - 1."""
    table = labels_lib.read_json("imagenet_s")
    everything = tuple(table["classes"])
    if classes == len(everything):
        return everything
    return tuple(everything[i - 1] for i in table["subsets"][str(classes)])


def merged_classes() -> dict[str, str]:
    """WordNet ids of ImageNet-1k that are part of another class among the 919."""
    return dict(labels_lib.read_json("imagenet_s")["merged"])


def decode_mask(colours: np.ndarray) -> np.ndarray:
    """Ids of a mask [..., 3] uint8: R + 256 G, as uint16 [...]."""
    wide = colours.astype(np.uint16)
    return wide[..., 0] + 256 * wide[..., 1]


def encode_mask(ids: np.ndarray) -> np.ndarray:
    """Colours of ids [...] in 0..65535: uint8 [..., 3], (id mod 256, id / 256, 0)."""
    wide = np.asarray(ids).astype(np.int32)
    return np.stack([wide % 256, wide // 256, 0 * wide], -1).astype(np.uint8)


def _colours(file: pathlib.Path) -> np.ndarray:
    pixels = pictures.read_image(file)
    if pixels[..., 2].any():
        raise PictureError(
            f"mask {file} has blue pixels, but ImageNet-S stores ids as red + 256 "
            "green: replace the file"
        )
    return pixels


def _of_folders(
    root: pathlib.Path, sources: Mapping[str, list[str]]
) -> dict[str, pathlib.Path]:
    """The pictures of classes, by "class/name", in the order of both."""
    return {
        f"{target}/{name}": file
        for target in sorted(sources)
        for name, file in sorted(
            pair
            for source in sources[target]
            for pair in folder.files_by_name(root / source).items()
        )
    }
