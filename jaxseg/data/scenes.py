"""Street scenes drawn by NumPy: a data set that needs no download.

A picture is a small street in perspective: sky, house fronts, ground, then everything
that stands on it, from far to near, then the light. Colours come from one list of
materials that all classes share, so that what tells a car from a wall is shape, texture
and place. Read `draw` first.

A picture depends on (seed, split, index) and the size only. To be the same everywhere
it uses NumPy's frozen `RandomState` and arithmetic that IEEE 754 fixes (+ - * / and
comparisons, no sin or exp, no long sums).
"""

from collections.abc import Sequence

import numpy as np

from jaxseg.data import labels, splits
from jaxseg.data.scene_canvas import (
    Scene,
)
from jaxseg.data.scene_street import (
    develop,
    paint_bonnet,
    paint_fence,
    paint_ground,
    paint_house_fronts,
    paint_sky,
    paint_skyline,
)
from jaxseg.data.scene_things import (
    paint_things,
    pavement_things,
    road_things,
)

SCENES = labels.LabelSet(
    names=(
        *("sky", "building", "road", "pavement", "tree"),
        *("fence", "pole", "sign", "car", "person"),
    ),
    palette=(
        *((70, 130, 180), (128, 32, 32), (128, 64, 128), (214, 130, 214)),
        *((107, 142, 35), (190, 153, 110), (170, 170, 170), (240, 200, 0)),
        *((0, 40, 160), (230, 40, 70)),
    ),
)
_SPLITS = ("train", "val", "test")


class Scenes:
    """The embedded data set: 10 classes, void on the bonnet and on litter bins.

    Args:
        height, width: size of the pictures in pixels; the streets stay the same.
        num_train, num_val, num_test: pictures in each split.
        seed: of the whole data set; another seed, other streets.
        unseen: names of the classes that zero-shot training may not use.
    """

    def __init__(
        self,
        *,
        height: int = 96,
        width: int = 128,
        num_train: int = 3000,
        num_val: int = 100,
        num_test: int = 100,
        seed: int = 0,
        unseen: Sequence[str] = (),
    ):
        self.labels = splits.apply(SCENES, unseen)
        sizes = dict(zip(_SPLITS, (num_train, num_val, num_test), strict=True))
        self._sources = {
            split: ScenesSource(split, size, height=height, width=width, seed=seed)
            for split, size in sizes.items()
        }

    def source(self, split: str) -> "ScenesSource":
        """The pictures of "train", "val" or "test"."""
        if split not in self._sources:
            raise ValueError(f"scenes has no split {split!r}, only {_SPLITS}")
        return self._sources[split]


class ScenesSource:
    """One split; a picture is drawn when first asked for, and kept."""

    def __init__(self, split: str, size: int, *, height: int, width: int, seed: int):
        self._split, self._size, self._seed = split, size, seed
        self._shape = (height, width)
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """{"image": uint8 [H, W, 3], "label": uint8 [H, W], 255 unlabelled}."""
        if not 0 <= index < self._size:
            raise IndexError(f"{self.name(index)}: the split has {self._size} pictures")
        if index not in self._kept:
            key = [self._seed, _SPLITS.index(self._split), index]
            self._kept[index] = draw(np.random.RandomState(key), *self._shape)
        image, label = self._kept[index]
        return {"image": image.copy(), "label": label.copy()}

    def name(self, index: int) -> str:
        return f"scenes/{self._split}/{index:05d}"


def draw(
    rng: np.random.RandomState, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """One street.

    Returns:
        image uint8 [H, W, 3] and label uint8 [H, W].
    """
    scene = Scene.plan(rng, height, width)
    paint_sky(scene, rng)
    paint_skyline(scene, rng)
    paint_ground(scene, rng)
    for side in (-1, 1):
        paint_house_fronts(scene, rng, side)
    paint_things(scene, pavement_things(scene, rng), rng)
    for side in (-1, 1):
        paint_fence(scene, rng, side)
    paint_things(scene, road_things(scene, rng), rng)
    paint_bonnet(scene, rng)
    return develop(scene.image, rng), scene.label
