"""Episodes of PASCAL-5i and COCO-20i: one picture, one class, a binary mask.

Read `Episodes` first. Lists of (picture, class) pairs are those of HSNet (Min et al.,
ICCV 2021), which SAZS (Liu et al., CVPR 2023) trains and tests with; without lists the
masks say which pairs there are. How long an epoch is and what is tested:

    PASCAL-5i, training   each pair once an epoch: the `Stream`'s own order
    PASCAL-5i, testing    1000 episodes, `cycled` pairs
    COCO-20i, training    class first, then picture: `ByClass`, given to the `Stream`
    COCO-20i, testing     1000 such draws, `drawn` once for all
"""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxseg.data import image_labels
from jaxseg.data.labels import IGNORE, ignored_id
from jaxseg.data.source import Example, Source

NUM_FOLDS = 4


class Pair(NamedTuple):
    """A picture of a source and one of the classes in it, as a train id."""

    picture: int
    class_id: int


class Listed(NamedTuple):
    """A line of a list: the file's name without suffix, and the benchmark's class."""

    name: str
    benchmark_class: int


class Episodes:
    """A source of episodes.

    Examples have label uint8 [H, W], 1 on the class, 0 on all others, 255 where
    unlabelled, and class_id int32 [], its train id. Unseen classes are "others" too,
    unless the source hides them (`zero_shot.hide_unseen`): "keep_unseen" is what
    published numbers have, and trains against the unseen classes.

    Args:
        source: pictures with all their classes.
        pairs: the episodes, in order.
    """

    def __init__(self, source: Source, pairs: Sequence[Pair]):
        if not pairs:
            raise ValueError(
                "there are no episodes: no picture holds one of the classes"
            )
        self._source = source
        self._pairs = tuple(pairs)
        if hasattr(source, "size"):
            self._size_of = source.size
            self.size = self._size

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: Any, /) -> Example:
        picture, class_id = self._pairs[index]
        example = self._source[picture]
        label = example["label"]
        unlabelled = label == ignored_id(label.dtype)
        binary = np.where(unlabelled, IGNORE, label == class_id).astype(np.uint8)
        return {**example, "label": binary, "class_id": np.array(class_id, np.int32)}

    def name(self, index: int) -> str:
        """Which file that is, for messages."""
        return self._source.name(self._pairs[index].picture)

    def _size(self, index: int) -> tuple[int, int]:
        return self._size_of(self._pairs[index].picture)


class ByClass:
    """Draws an episode: a class, all equally likely, then one of its pairs.

    Args:
        pairs: of the `Episodes` that are drawn from.
    """

    def __init__(self, pairs: Sequence[Pair]):
        by_class: dict[int, list[int]] = {}
        for index, pair in enumerate(pairs):
            by_class.setdefault(pair.class_id, []).append(index)
        self._members = [np.array(by_class[c]) for c in sorted(by_class)]

    def __call__(self, rng: np.random.Generator) -> int:
        members = self._members[rng.integers(len(self._members))]
        return int(members[rng.integers(len(members))])


def cycled(pairs: Sequence[Pair], count: int = 1000) -> list[Pair]:
    """Pair i mod N for i < count, as PASCAL-5i is tested."""
    return [pairs[i % len(pairs)] for i in range(count)]


def drawn(pairs: Sequence[Pair], count: int = 1000, *, seed: int = 0) -> list[Pair]:
    """A fixed set of draws `ByClass`, as COCO-20i is tested.

    The authors draw with NumPy's older generator, so theirs are other pictures.
    """
    draw, rng = ByClass(pairs), np.random.default_rng(seed)
    return [pairs[draw(rng)] for _ in range(count)]


def read_pascal5i(
    folder: str | pathlib.Path, *, fold: int, train: bool
) -> list[Listed]:
    """Reads the pairs of PASCAL-5i.

    Args:
        folder: with train_fold0.txt and the like, whose lines are IMAGE__CC, CC the
            class from 01 in alphabetical order.
        fold: the one held out, 0..3.
        train: the pairs of the other three folds; otherwise the test pairs of this one.

    Returns:
        Pairs whose class counts from 0 (aeroplane).
    """
    _check_fold(fold)
    own = [fold]
    folds = [f for f in range(NUM_FOLDS) if f != fold] if train else own
    part = "train" if train else "val"
    listed = []
    for i in folds:
        file = _existing(pathlib.Path(folder) / f"{part}_fold{i}.txt")
        for line in file.read_text().split():
            name, _, number = line.rpartition("__")
            if not name or not number.isdecimal():
                raise ValueError(f"{file}: {line!r} is not IMAGE__CC")
            listed.append(Listed(name, int(number) - 1))
    return listed


def read_coco20i(folder: str | pathlib.Path, *, fold: int, train: bool) -> list[Listed]:
    """Reads the pairs of COCO-20i, named as the files of COCO 2014.

    Args:
        folder: with train_fold0.npz and the like: class_id (0..79), image_id and
            from_val2014. The training file of a fold is without the fold's classes.
        fold: the one held out, 0..3.
        train: whether the training file or the test file.
    """
    _check_fold(fold)
    part = "train" if train else "val"
    file = _existing(pathlib.Path(folder) / f"{part}_fold{fold}.npz")
    with np.load(file) as arrays:
        rows = zip(
            arrays["class_id"].tolist(),
            arrays["image_id"].tolist(),
            arrays["from_val2014"].tolist(),
            strict=True,
        )
    years = ("train2014", "val2014")
    return [Listed(f"COCO_{years[v]}_{image:012}", c) for c, image, v in rows]


def match(
    source: Source,
    listed: Sequence[Listed],
    train_ids: Sequence[int],
    *,
    partial: bool = False,
) -> list[Pair]:
    """Finds the pictures of a list in a source.

    Args:
        source: whose names are paths of pictures.
        listed: of `read_pascal5i` or `read_coco20i`.
        train_ids: the train id of each class of the benchmark.
        partial: passes over pairs whose picture the source has not, as when it is a
            part of the data set, or pictures of unseen classes are purged.

    Raises:
        ValueError: naming the first pictures that are missing.
    """
    where = {pathlib.PurePath(source.name(i)).stem: i for i in range(len(source))}
    missing = sorted({line.name for line in listed} - where.keys())
    if missing and not partial:
        raise ValueError(
            f"{len(missing)} listed pictures are not in the data set, such as "
            f"{', '.join(missing[:3])}: use the whole split, or partial=True"
        )
    return [
        Pair(where[line.name], train_ids[line.benchmark_class])
        for line in listed
        if line.name in where
    ]


def from_masks(
    source: Source, class_ids: Sequence[int], *, num_threads: int = 2
) -> list[Pair]:
    """All pairs of a picture and a class of which its mask has a pixel.

    The published lists leave out small objects, so they are shorter.

    Args:
        source: all masks are read once.
        class_ids: the train ids that episodes are of.
        num_threads: that read.
    """
    present = image_labels.of_all(source, max(class_ids) + 1, num_threads=num_threads)
    return [Pair(i, c) for i in range(len(source)) for c in class_ids if present[i, c]]


def _check_fold(fold: int) -> None:
    if not 0 <= fold < NUM_FOLDS:
        raise ValueError(f"fold is 0..{NUM_FOLDS - 1}, got {fold}")


def _existing(file: pathlib.Path) -> pathlib.Path:
    if not file.is_file():
        raise FileNotFoundError(
            f"there is no {file}: the folder must hold the fold lists of the few-shot "
            "benchmark, {train,val}_fold{0..3}"
        )
    return file
