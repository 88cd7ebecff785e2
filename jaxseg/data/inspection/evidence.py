"""All that an inspection reads: which files there are, and the facts of each."""

import dataclasses
import functools
import itertools
import os
import pathlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import NamedTuple

import numpy as np

from jaxseg.data.class_table import SingleClassError
from jaxseg.data.folder import Folder, PairFolder
from jaxseg.data.inspection import facts
from jaxseg.data.inspection.facts import ImageFacts, MaskFacts
from jaxseg.data.labels import UNKNOWN, LabelSet
from jaxseg.data.mask_colours import Colour, ColourTable, unpack
from jaxseg.data.pair_list import Pair


class SplitFiles(NamedTuple):
    """The files of a split.

    Attributes:
        name: of the split.
        pairs: pictures with their masks.
        images: pictures without one.
        masks: masks without a picture.
        problem: why the files could not be listed; empty if they could.
    """

    name: str
    pairs: tuple[Pair, ...] = ()
    images: tuple[pathlib.Path, ...] = ()
    masks: tuple[pathlib.Path, ...] = ()
    problem: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What the checks look at.

    Attributes:
        dataset: the folder.
        splits: its files.
        images: what pictures are, by file.
        masks: what masks hold, by file.
        labels: the classes, with unknown ids as errors; None if they cannot be told.
        colours: the classes by colour, where masks are colours.
        problem: why the classes cannot be told.
        single_class: whether that is because fewer than two are left.
    """

    dataset: PairFolder
    splits: tuple[SplitFiles, ...]
    images: dict[pathlib.Path, ImageFacts]
    masks: dict[pathlib.Path, MaskFacts]
    labels: LabelSet | None
    colours: ColourTable | None
    problem: str
    single_class: bool = False

    @property
    def pairs(self) -> Iterator[tuple[ImageFacts, MaskFacts]]:
        """The facts of every pair of which both files can be read."""
        for split in self.splits:
            for _, image, mask in split.pairs:
                found = self.images[image], self.masks[mask]
                if not found[0].problem and not found[1].problem:
                    yield found

    @functools.cached_property
    def ids(self) -> Counter[int]:
        """Pixels by id, over all masks of ids; each file once."""
        return _total(m for m in self.masks.values() if not m.in_colour)

    @property
    def mask_colours(self) -> Counter[int]:
        """Pixels by packed colour, over all masks of colours."""
        return _total(m for m in self.masks.values() if m.in_colour)

    def train_ids(self, mask: MaskFacts) -> Counter[int]:
        """Pixels of a mask by train id, `labels.ignore` and `UNKNOWN` among them."""
        counts: Counter[int] = Counter()
        if self.labels is None or (mask.in_colour and self.colours is None):
            return counts
        for value, count in mask.counts.items():
            if mask.in_colour:
                counts[self._by_colour.get(unpack(value), UNKNOWN)] += count
            elif 0 <= value < len(self._by_id):
                counts[int(self._by_id[value])] += count
            else:
                counts[UNKNOWN] += count
        return counts

    @functools.cached_property
    def _by_id(self) -> np.ndarray:
        return np.empty(0) if self.labels is None else self.labels.lookup_table()

    @functools.cached_property
    def _by_colour(self) -> dict[Colour, int]:
        if self.colours is None:
            return {}
        return dict(zip(self.colours.colours, self.colours.train_ids, strict=True))


def gather(
    dataset: PairFolder,
    *,
    num_threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evidence:
    """Reads every picture and every mask of a folder once.

    Args:
        dataset: the folder.
        num_threads: that decode; as many as there are processors by default. Each
            holds one picture at a time.
        progress: called with the files done and to do.

    Raises:
        FileNotFoundError: if there is no folder.
        ValueError: if it is not clear what its splits are.
    """
    splits = tuple(_list_files(dataset, split) for split in dataset.splits())
    strict = dataset
    if isinstance(dataset, Folder):
        strict = dataclasses.replace(dataset, unknown="raise")
    as_colours = isinstance(dataset, Folder) and dataset.masks == "rgb"
    images = _unique(
        file
        for split in splits
        for file in (*(pair.image for pair in split.pairs), *split.images)
    )
    masks = _unique(
        file
        for split in splits
        for file in (*(pair.label for pair in split.pairs), *split.masks)
    )
    read_mask = functools.partial(
        facts.of_mask, as_colours=as_colours, plain=dataset.plain_mask
    )
    total = len(images) + len(masks)
    found: list[facts.Facts] = []
    with futures.ThreadPoolExecutor(num_threads or os.cpu_count()) as pool:
        of_images = pool.map(facts.of_image, images)
        of_masks = pool.map(read_mask, masks)
        results: Iterator[facts.Facts] = itertools.chain(of_images, of_masks)
        for fact in results:
            found.append(fact)
            progress(len(found), total)
    labels, colours, problem, single_class = _classes(strict)
    return Evidence(
        dataset=dataset,
        splits=splits,
        images={f.file: f for f in found if isinstance(f, ImageFacts)},
        masks={f.file: f for f in found if isinstance(f, MaskFacts)},
        labels=labels,
        colours=colours,
        problem=problem,
        single_class=single_class,
    )


def _list_files(dataset: PairFolder, split: str) -> SplitFiles:
    try:
        images, masks = dataset.find_files(split)
        names = dataset.read_list(split)
    except (ValueError, OSError) as error:
        return SplitFiles(split, problem=str(error))
    problem = ""
    if names is not None:
        missing = [name for name in names if name not in images]
        if missing:
            problem = f"its list names {len(missing)} pictures that are not there: "
            problem += ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
        images = {name: images[name] for name in names if name in images}
        masks = {name: masks[name] for name in names if name in masks}
    return SplitFiles(
        split,
        tuple(Pair(n, images[n], masks[n]) for n in images if n in masks),
        tuple(file for name, file in images.items() if name not in masks),
        tuple(file for name, file in masks.items() if name not in images),
        problem,
    )


def _classes(
    dataset: PairFolder,
) -> tuple[LabelSet | None, ColourTable | None, str, bool]:
    try:
        return dataset.labels, getattr(dataset, "colours", None), "", False
    except (ValueError, OSError) as error:
        return None, None, str(error), isinstance(error, SingleClassError)


def _unique(files: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    return list(dict.fromkeys(files))


def _total(masks: Iterable[MaskFacts]) -> Counter[int]:
    total: Counter[int] = Counter()
    for mask in masks:
        total.update(mask.counts)
    return total
