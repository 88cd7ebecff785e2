"""Blank pictures, for methods that make up in the step what they learn from."""

import dataclasses
from typing import Any

import numpy as np

from jaxseg.data.labels import IGNORE, LabelSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blank:
    """Black pictures of which nothing is labelled.

    Attributes:
        side: of the square pictures, in pixels.
        num_train: pictures in the split "train", the only one.
    """

    side: int = 8
    num_train: int = 64

    @property
    def labels(self) -> LabelSet:
        """One class, which no pixel has."""
        return LabelSet(names=("nothing",), palette=((0, 0, 0),))

    def source(self, split: str) -> "BlankSource":
        """The pictures of "train"."""
        if split != "train":
            raise ValueError(f"blank pictures have the split 'train', got {split!r}")
        return BlankSource(self)


@dataclasses.dataclass(frozen=True)
class BlankSource:
    """The pictures of a `Blank`."""

    dataset: Blank

    def __len__(self) -> int:
        return self.dataset.num_train

    def __getitem__(self, index: Any, /) -> dict[str, Any]:
        """{"image": uint8 [H, W, 3] of zeros, "label": uint8 [H, W], all 255}."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name(index)}: the split has {len(self)} pictures")
        side = self.dataset.side
        return {
            "image": np.zeros((side, side, 3), np.uint8),
            "label": np.full((side, side), IGNORE, np.uint8),
        }

    def name(self, index: int) -> str:
        """Which picture that is, for messages."""
        return f"blank/train/{index}"
