"""What the label files mean: class names, colours, and raw ids to train ids.

Train ids count the classes from 0; `IGNORE` marks pixels that nobody labelled. Files
store raw ids, which differ from data set to data set; `LabelSet` knows both.
"""

import dataclasses

import numpy as np

IGNORE = 255  # the library's one label for "not labelled"; no class may use it
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
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    raw_ids: tuple[int, ...] | None = None
    ignored_raw_ids: tuple[int, ...] = (255,)
    seen: tuple[int, ...] = ()
    unseen: tuple[int, ...] = ()

    def __post_init__(self):
        ids = self.class_raw_ids
        if not 0 < len(self.names) < IGNORE:
            raise ValueError(f"need 1 to {IGNORE - 1} classes, got {len(self.names)}")
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
        split = (*self.seen, *self.unseen)
        if split and sorted(split) != list(range(self.num_classes)):
            raise ValueError(
                f"seen {self.seen} and unseen {self.unseen} must hold each of the "
                f"{self.num_classes} train ids once"
            )
        outside = [i for i in (*ids, *self.ignored_raw_ids) if not 0 <= i < 65536]
        if outside:
            raise ValueError(f"raw ids {outside} do not fit a label file (0..65535)")

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

    def lookup_table(self) -> np.ndarray:
        """Train ids by raw id.

        Returns:
            [65536] int16: the train id, `IGNORE` for void, `UNKNOWN` for ids that are
            in no list, so that a wrong label is an error and not a class.
        """
        table = np.full(65536, UNKNOWN, np.int16)
        table[list(self.ignored_raw_ids)] = IGNORE
        table[list(self.class_raw_ids)] = np.arange(self.num_classes)
        return table


def ignored_id(dtype: np.dtype) -> int:
    """The train id of "not labelled" in a mask of this type: its largest value."""
    return int(np.iinfo(dtype).max)


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
    palette=(
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (128, 128, 0),
        (0, 0, 128),
        (128, 0, 128),
        (0, 128, 128),
        (128, 128, 128),
        (64, 0, 0),
        (192, 0, 0),
        (64, 128, 0),
        (192, 128, 0),
        (64, 0, 128),
        (192, 0, 128),
        (64, 128, 128),
        (192, 128, 128),
        (0, 64, 0),
        (128, 64, 0),
        (0, 192, 0),
        (128, 192, 0),
        (0, 64, 128),
    ),
)
