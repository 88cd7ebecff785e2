"""Made-up pictures of coloured shapes, labelled as a published data set is.

For trying out what needs the names of VOC's or COCO's classes, offline: episodes, text
anchors. A class is a colour; see `Shapes`.
"""

import dataclasses
from typing import Any

import numpy as np

from jaxseg.data import splits
from jaxseg.data.labels import IGNORE, VOC, LabelSet, colour_map

SPLITS = ("train", "val")
_NOISE = 12  # levels of grey by which pixels stray from their class's colour


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shapes:
    """Ellipses and rectangles in the colours of their classes, on noise.

    Attributes:
        classes: "voc" or "coco", whose names and colours there are, class 0 being the
            background; or names, the first of them "background".
        colours: of the names; VOC's palette if empty.
        unseen: as of any data set: classes, or the name of a split.
        height: of the pictures, in pixels.
        width: of the pictures.
        num_train: pictures.
        num_val: pictures.
        most: shapes in a picture, at least 1.
        seed: of the whole data set.
    """

    classes: str | tuple[str, ...] = "voc"
    colours: tuple[tuple[int, int, int], ...] = ()
    unseen: str | tuple[str, ...] = ()
    height: int = 64
    width: int = 64
    num_train: int = 64
    num_val: int = 16
    most: int = 3
    seed: int = 0

    @property
    def labels(self) -> LabelSet:
        """The classes, and which of them are unseen."""
        names: str | tuple[str, ...] = self.classes
        if isinstance(names, str):
            known = {"voc": VOC.names, "coco": ("background", *splits.coco_things())}
            if names not in known:
                raise ValueError(f"classes are 'voc', 'coco' or names, got {names!r}")
            names = known[names]
        table = LabelSet(names=names, palette=self.colours or colour_map(len(names)))
        return splits.apply(table, self.unseen)

    def source(self, split: str) -> "ShapesSource":
        """The pictures of "train" or "val"."""
        if split not in SPLITS:
            raise ValueError(f"shapes have the splits {SPLITS}, got {split!r}")
        return ShapesSource(self, split)


class ShapesSource:
    """One split; every picture depends on its number and the seed alone."""

    def __init__(self, dataset: Shapes, split: str):
        self._dataset, self._split = dataset, split
        self._colours = np.array(dataset.labels.palette, np.int64)
        self._size = dataset.num_train if split == "train" else dataset.num_val

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: Any, /) -> dict[str, Any]:
        """{"image": uint8 [H, W, 3], "label": uint8 [H, W], 255 at shapes' rims}."""
        if not 0 <= index < self._size:
            raise IndexError(f"{self.name(index)}: the split has {self._size} pictures")
        made = self._dataset
        rng = np.random.default_rng([made.seed, SPLITS.index(self._split), index])
        label = np.zeros((made.height, made.width), np.uint8)
        for _ in range(rng.integers(1, made.most, endpoint=True)):
            # Shapes take the classes in turn, so that a few pictures hold them all.
            class_id = 1 + (index + rng.integers(2)) % (len(self._colours) - 1)
            depth = _shape(rng, made.height, made.width)
            label[depth > 0] = IGNORE
            label[depth > 0.15] = class_id
        colours = self._colours[np.where(label == IGNORE, 0, label)]
        noise = rng.normal(0, _NOISE, colours.shape)
        image = np.clip(np.round(colours + noise), 0, 255).astype(np.uint8)
        return {"image": image, "label": label}

    def name(self, index: int) -> str:
        """Which picture that is, for messages."""
        return f"shapes/{self._split}/{index:06}"


def _shape(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """How deep in a shape each pixel [H, W] is: 1 at the middle, below 0 outside."""
    rows = (np.arange(height)[:, None] / height - rng.uniform(0.2, 0.8)) / (
        rng.uniform(0.12, 0.3)
    )
    columns = (np.arange(width) / width - rng.uniform(0.2, 0.8)) / (
        rng.uniform(0.12, 0.3)
    )
    if rng.integers(2):
        return 1 - np.maximum(np.abs(rows), np.abs(columns))
    return 1 - np.hypot(rows, columns)
