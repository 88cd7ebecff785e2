"""Episodes of PASCAL-5i and COCO-20i: one picture, one class, a binary mask.

Read `Episodes` first; `FewShot` makes them of a config. Lists of (picture, class) pairs
are those of HSNet (Min et al., ICCV 2021), which SAZS (Liu et al., CVPR 2023) trains
and tests with; without lists the masks say which pairs there are. How long an epoch is
and what is tested:

    PASCAL-5i, training   each pair once an epoch: the `Stream`'s own order
    PASCAL-5i, testing    1000 episodes, `cycled` pairs
    COCO-20i, training    class first, then picture: `ByClass`, given to the `Stream`
    COCO-20i, testing     1000 such draws, `drawn` once for all
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from jaxseg import config as config_lib
from jaxseg.data import image_labels, splits, zero_shot
from jaxseg.data.labels import IGNORE, LabelSet, ignored_id
from jaxseg.data.source import Dataset, Example, Source


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
    unlabelled, and class_id int32 [], its train id; no image labels, which would tell
    of others. Unseen classes are "others" too,
    unless the source hides them (`zero_shot.hide_unseen`): "keep_unseen" is what
    published numbers have, and trains against the unseen classes.

    Args:
        source: pictures with all their classes.
        pairs: the episodes, in order.
        with_ids: writes the class's train id in the place of 1, so that labels mean
            what they do in the whole masks; 0 must be the background then.
        whole: train ids of classes that keep their ids beside the episode's, so that
            the mask tells outlines of all of them; class_id says which one is meant.
    """

    def __init__(
        self,
        source: Source,
        pairs: Sequence[Pair],
        *,
        with_ids: bool = False,
        whole: Sequence[int] = (),
    ):
        if not pairs:
            raise ValueError(
                "there are no episodes: no picture holds one of the classes"
            )
        self._source = source
        self._pairs = tuple(pairs)
        self._with_ids = with_ids
        self._whole = np.array(whole, np.int64)
        if hasattr(source, "size"):
            self._size_of = source.size
            self.size = self._size

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: Any, /) -> Example:
        picture, class_id = self._pairs[index]
        example = {**self._source[picture], "class_id": np.array(class_id, np.int32)}
        example.pop("image_labels", None)
        label = example["label"]
        unlabelled = label == ignored_id(label.dtype)
        foreground = (label == class_id) * (class_id if self._with_ids else 1)
        if len(self._whole):
            foreground = np.where(np.isin(label, self._whole), label, foreground)
        return {
            **example,
            "label": np.where(unlabelled, IGNORE, foreground).astype(np.uint8),
        }

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class FewShot:
    """Episodes of a fold as a data set, which a config names.

    Labels are those of the base, of which the fold's classes are unseen; a mask holds
    the train id of its episode's class, 0 on all others, 255 where unlabelled. Examples
    have class_id, which a method may read, in prediction too: without it an episode
    does not tell what to look for, and one picture has contradicting masks. Score it
    with `metrics.fold.FoldIoU`.

    Attributes:
        base: the data set, with class 0 "background": `voc.VOC` or `coco.COCO`.
        benchmark: "pascal5i" or "coco20i".
        fold: the one held out, 0..3.
        lists: the folder of `read_pascal5i` or `read_coco20i`; "" for all pairs that
            the masks hold, which are read once for that.
        partial: passes over listed pictures that are not there; see `match`.
        train_split: the base's split to train on; the lists of PASCAL-5i need
            "train_aug".
        val_split: the base's split to test on.
        train_images: what becomes of unseen classes in training pictures; see
            `zero_shot.hide_unseen`. "keep_unseen", as in published numbers, has them
            among the others.
        test_episodes: how many, 0 for each pair once.
        whole_masks: training masks keep all seen classes, for methods that learn
            outlines, too; testing masks have the episode's class alone.
    """

    base: Dataset
    benchmark: str = "pascal5i"
    fold: int = 0
    lists: str = ""
    partial: bool = False
    train_split: str = "train"
    val_split: str = "val"
    train_images: str = "ignore_unseen"
    test_episodes: int = 1000
    whole_masks: bool = False

    @functools.cached_property
    def labels(self) -> LabelSet:
        """The classes of the base, those of the fold unseen."""
        held_out = splits.fold(self.benchmark, self.fold)
        table = self.base.labels.with_unseen(held_out)
        if table.names[0] != image_labels.BACKGROUND or table.ignore != IGNORE:
            raise ValueError(
                "episodes need a base of up to 254 classes, the first of them "
                f"{image_labels.BACKGROUND!r}: got {table.num_classes} classes, the "
                f"first of them {table.names[0]!r}"
            )
        return table

    def source(self, split: str) -> Episodes:
        """The episodes of "train", of seen classes, or "val", of the fold's."""
        if split not in ("train", "val"):
            raise ValueError(f"episodes have the splits 'train' and 'val': {split!r}")
        return self._training[0] if split == "train" else self._testing

    def draw(self, split: str) -> ByClass | None:
        """How training chooses its episodes, None for each once an epoch."""
        is_drawn = split == "train" and self.benchmark == "coco20i"
        return ByClass(self._training[1]) if is_drawn else None

    @functools.cached_property
    def _training(self) -> tuple[Episodes, list[Pair]]:
        whole = self.base.source(self.train_split)
        source = zero_shot.hide_unseen(
            whole, self.labels, train_images=self.train_images
        )
        partial = self.partial or len(source) < len(whole)
        seen = [c for c in self._class_ids if c not in self.labels.unseen]
        pairs = self._pairs(source, seen, train=True, partial=partial)
        kept = seen if self.whole_masks else ()
        return Episodes(source, pairs, with_ids=True, whole=kept), pairs

    @functools.cached_property
    def _testing(self) -> Episodes:
        source, unseen = self.base.source(self.val_split), self.labels.unseen
        pairs = self._pairs(source, unseen, train=False, partial=self.partial)
        if self.test_episodes and pairs:
            choose = drawn if self.benchmark == "coco20i" else cycled
            pairs = choose(pairs, self.test_episodes)
        return Episodes(source, pairs, with_ids=True)

    def _pairs(
        self, source: Source, class_ids: Sequence[int], *, train: bool, partial: bool
    ) -> list[Pair]:
        if not self.lists:
            return from_masks(source, class_ids)
        read = read_coco20i if self.benchmark == "coco20i" else read_pascal5i
        listed = read(config_lib.expand(self.lists), fold=self.fold, train=train)
        return match(source, listed, self._class_ids, partial=partial)

    @property
    def _class_ids(self) -> tuple[int, ...]:
        """The train id of each class of the benchmark, in its order."""
        return self.labels.train_ids(splits.benchmark_classes(self.benchmark))


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
    folds = [f for f in range(splits.NUM_FOLDS) if f != fold] if train else own
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
            part of the data set, or pictures of unseen classes are purged; the log says
            how many.

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
    pairs = [
        Pair(where[line.name], train_ids[line.benchmark_class])
        for line in listed
        if line.name in where
    ]
    if missing:
        logging.warning(
            "%d of %d listed pairs are passed over: their pictures are not there",
            len(listed) - len(pairs),
            len(listed),
        )
    return pairs


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
    if not 0 <= fold < splits.NUM_FOLDS:
        raise ValueError(f"fold is 0..{splits.NUM_FOLDS - 1}, got {fold}")


def _existing(file: pathlib.Path) -> pathlib.Path:
    if not file.is_file():
        raise FileNotFoundError(
            f"there is no {file}: the folder must hold the fold lists of the few-shot "
            "benchmark, {train,val}_fold{0..3}"
        )
    return file
