"""What the label files mean: class names, colours, and raw ids to train ids.

Train ids count the classes from 0. Files store raw ids, which differ from data set to
data set; `LabelSet` knows both. Pixels that nobody labelled hold the largest value of
the masks' type: `IGNORE` where ids are 8 bits wide, which is everywhere up to 254
classes, and `WIDE_IGNORE` in the 16 bits of larger sets. On the devices either is
outside [0, C), which is all that losses and metrics ask.
"""

import dataclasses
import functools
import json
from collections.abc import Collection, Sequence
from importlib import resources
from typing import Any

import numpy as np

IGNORE = 255  # "not labelled", in masks of up to 254 classes; no class may use it
WIDE_IGNORE = 65535  # the same in masks of more classes than that
UNKNOWN = -1  # in a lookup table: a raw id that the class list does not know


@dataclasses.dataclass(frozen=True)
class LabelSet:
    """The classes of a data set, in train-id order.

    Attributes:
        names: the class names.
        palette: the display colour of each class, RGB 0..255.
        raw_ids: the id that the label files store for each class; None if they store
            train ids.
        ignored_raw_ids: the ids in the files that mean "unlabelled" (void).
        seen: train ids that zero-shot training may use; empty where all are.
        unseen: train ids that it may not, scored apart.
        word_vectors: float32 [C, E], the vector of each class's name, where a config
            asks for them (`data.word_vectors`); what compares classes leaves them out.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    raw_ids: tuple[int, ...] | None = None
    ignored_raw_ids: tuple[int, ...] = (255,)
    seen: tuple[int, ...] = ()
    unseen: tuple[int, ...] = ()
    word_vectors: np.ndarray | None = dataclasses.field(
        default=None, compare=False, repr=False
    )

    def __post_init__(self):
        ids = self.class_raw_ids
        if not 0 < len(self.names) < WIDE_IGNORE:
            raise ValueError(
                f"need 1 to {WIDE_IGNORE - 1} classes, got {len(self.names)}"
            )
        if len(self.palette) != len(self.names) or len(ids) != len(self.names):
            raise ValueError(
                f"{len(self.names)} class names, {len(self.palette)} colours and "
                f"{len(ids)} raw ids: give one of each per class"
            )
        if len(set(ids)) != len(ids):
            raise ValueError(f"two classes share a raw id: {ids}")
        both = sorted(set(ids) & set(self.ignored_raw_ids))
        if both:
            raise ValueError(f"raw ids {both} are a class and ignored: choose one")
        self._check_split()
        if self.word_vectors is not None:
            self._check_word_vectors(self.word_vectors)
        outside = [i for i in (*ids, *self.ignored_raw_ids) if not 0 <= i < 65536]
        if outside:
            raise ValueError(f"raw ids {outside} do not fit a label file (0..65535)")

    def _check_split(self) -> None:
        both = sorted(set(self.seen) & set(self.unseen))
        if both:
            raise ValueError(
                f"train ids {both} are seen and unseen: give each class to one side"
            )
        split = (*self.seen, *self.unseen)
        if split and sorted(split) != list(range(self.num_classes)):
            raise ValueError(
                f"seen {self.seen} and unseen {self.unseen} must hold each of the "
                f"{self.num_classes} train ids once"
            )
        if self.unseen and not self.seen:
            raise ValueError(
                f"all {self.num_classes} classes are unseen, so there is nothing to "
                "train on: leave some of them seen"
            )

    def _check_word_vectors(self, vectors: np.ndarray) -> None:
        if vectors.ndim != 2 or len(vectors) != self.num_classes:
            raise ValueError(
                f"word vectors of {self.num_classes} classes are "
                f"[{self.num_classes}, E], got {list(vectors.shape)}"
            )
        if vectors.dtype != np.float32 or not np.isfinite(vectors).all():
            raise ValueError(
                f"word vectors are finite float32, got {vectors.dtype} with "
                f"{np.count_nonzero(~np.isfinite(vectors))} that are not finite"
            )

    @property
    def num_classes(self) -> int:
        """How many classes there are, unlabelled not counted."""
        return len(self.names)

    @property
    def class_raw_ids(self) -> tuple[int, ...]:
        """The id in the files of each class, in train-id order."""
        if self.raw_ids is None:
            return tuple(range(len(self.names)))
        return self.raw_ids

    @property
    def id2label(self) -> dict[str, str]:
        """Class names by train id, as saved configs spell them: {"0": "sky", ...}."""
        return {str(i): name for i, name in enumerate(self.names)}

    @property
    def dtype(self) -> np.dtype:
        """The type of masks of train ids: uint8 up to 254 classes, uint16 above."""
        return np.dtype(np.uint8 if self.num_classes < IGNORE else np.uint16)

    @property
    def ignore(self) -> int:
        """The train id of "not labelled": 255 up to 254 classes, 65535 above."""
        return ignored_id(self.dtype)

    def lookup_table(self) -> np.ndarray:
        """Train ids by raw id.

        Returns:
            [65536] int16, or int32 above 254 classes: the train id, `ignore` for void,
            `UNKNOWN` for ids that are in no list, so that a wrong label is an error
            and not a class.
        """
        wide = np.int16 if self.ignore == IGNORE else np.int32
        table = np.full(65536, UNKNOWN, wide)
        table[list(self.ignored_raw_ids)] = self.ignore
        table[list(self.class_raw_ids)] = np.arange(self.num_classes)
        return table

    def train_ids(self, names: Collection[str]) -> tuple[int, ...]:
        """The train ids of classes, in the order given.

        Raises:
            ValueError: if a name is no class, is given twice or is that of two classes.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ValueError(
                f"no class is called {unknown}: the classes are "
                f"{', '.join(self.names[:30])}{', ...' * (self.num_classes > 30)}"
            )
        twice = [n for n in names if [*names, *self.names].count(n) > 2]
        if twice:
            raise ValueError(f"class names must be unique: {twice} are not")
        return tuple(self.names.index(name) for name in names)

    def with_unseen(
        self, unseen: Collection[str], *, validation: Collection[str] = ()
    ) -> "LabelSet":
        """The same classes, split for zero-shot training.

        Args:
            unseen: the names of the classes held out, all others are seen.
            validation: seen classes that choose hyperparameters as if unseen; they
                come last in `seen`, as in the published orders.
        """
        held, last = self.train_ids(unseen), self.train_ids(validation)
        first = [i for i in range(self.num_classes) if i not in {*held, *last}]
        return dataclasses.replace(self, seen=(*first, *last), unseen=held)

    def without(self, names: Collection[str]) -> "LabelSet":
        """The other classes; the pixels of those named become unlabelled.

        What was seen stays seen and what was unseen unseen.
        """
        dropped = set(self.train_ids(names))
        kept = [i for i in range(self.num_classes) if i not in dropped]
        raw = self.class_raw_ids
        return LabelSet(
            names=tuple(self.names[i] for i in kept),
            palette=tuple(self.palette[i] for i in kept),
            raw_ids=tuple(raw[i] for i in kept),
            ignored_raw_ids=tuple(
                sorted({*self.ignored_raw_ids, *(raw[i] for i in dropped)})
            ),
            seen=tuple(kept.index(i) for i in self.seen if i in kept),
            unseen=tuple(kept.index(i) for i in self.unseen if i in kept),
            word_vectors=None if self.word_vectors is None else self.word_vectors[kept],
        )


def ignored_id(dtype: np.dtype) -> int:
    """The train id of "not labelled" in a mask of this type: its largest value."""
    return int(np.iinfo(dtype).max)


def colour_map(num_classes: int) -> tuple[tuple[int, int, int], ...]:
    """The colours of PASCAL VOC: the bits of the id dealt out to R, G, B in turn."""

    def channel(i: int, first: int) -> int:
        return sum((i >> 3 * k + first & 1) << 7 - k for k in range(8))

    return tuple(
        (channel(i, 0), channel(i, 1), channel(i, 2)) for i in range(num_classes)
    )


@functools.cache
def read_table(name: str, *, layout: str = "") -> LabelSet:
    """Reads one of the class tables that the package carries.

    Args:
        name: a file of `jaxseg/data/classes` without its suffix, such as "ade20k".
        layout: which raw ids, where masks go about in several numberings; "" for
            those that count the classes from 0.
    """
    table = read_json(name)
    names = tuple(table["names"])
    raw_ids = table.get("raw_ids")
    if isinstance(raw_ids, dict):
        raw_ids = raw_ids[layout] if layout else None
    return LabelSet(
        names=names,
        palette=_colours(table["palette"])
        if "palette" in table
        else colour_map(len(names)),
        raw_ids=tuple(raw_ids) if raw_ids else None,
        ignored_raw_ids=tuple(table["ignored_raw_ids"]),
    )


def read_json(name: str) -> Any:
    """The content of `jaxseg/data/classes/<name>.json`."""
    file = resources.files("jaxseg.data") / "classes" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))


def _colours(lines: Sequence[str]) -> tuple[tuple[int, int, int], ...]:
    """Colours written as rrggbb, several a line."""
    levels = [bytes.fromhex(colour) for line in lines for colour in line.split()]
    return tuple((red, green, blue) for red, green, blue in levels)


CAMVID = LabelSet(
    names=(
        "Sky",
        "Building",
        "Pole",
        "Road",
        "Pavement",
        "Tree",
        "SignSymbol",
        "Fence",
        "Car",
        "Pedestrian",
        "Bicyclist",
    ),
    palette=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
    ignored_raw_ids=(11,),
)

CITYSCAPES = LabelSet(
    names=(
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
        "sky",
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    ),
    palette=(
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (102, 102, 156),
        (190, 153, 153),
        (153, 153, 153),
        (250, 170, 30),
        (220, 220, 0),
        (107, 142, 35),
        (152, 251, 152),
        (70, 130, 180),
        (220, 20, 60),
        (255, 0, 0),
        (0, 0, 142),
        (0, 0, 70),
        (0, 60, 100),
        (0, 80, 100),
        (0, 0, 230),
        (119, 11, 32),
    ),
    raw_ids=(7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33),
    # 255 is how an 8-bit file stores id -1, the licence plate.
    ignored_raw_ids=(*range(7), 9, 10, 14, 15, 16, 18, 29, 30, 255),
)

VOC = LabelSet(
    names=(
        "background",
        "aeroplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ),
    palette=colour_map(21),
)
