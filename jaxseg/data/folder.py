"""Pairs of picture and mask files in a folder, and the classes they hold.

Read `PairFolder` first, the base of the published data sets, which lay their folders
out otherwise; `Folder` is for one's own pictures.
"""

import collections
import dataclasses
import functools
import itertools
import pathlib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar

import numpy as np

from jaxseg import config
from jaxseg.data import (
    class_table,
    extras,
    found_classes,
    pair_list,
    picture_files,
    pictures,
)
from jaxseg.data import labels as labels_lib
from jaxseg.data.class_table import read_class_table
from jaxseg.data.labels import UNKNOWN
from jaxseg.data.mask_colours import ColourTable
from jaxseg.data.pair_list import PICTURE_SUFFIXES as SUFFIXES
from jaxseg.data.pair_list import Pair
from jaxseg.data.source import Example, Source


class PairSource:
    """Random access over a list of pairs.

    Args:
        pairs: the files.
        labels: the classes.
        colours: the classes by colour, if masks are colours instead of ids.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        labels: labels_lib.LabelSet,
        colours: ColourTable | None = None,
    ):
        self._pairs = tuple(pairs)
        self._labels = labels
        self._table = labels.lookup_table()
        self._colours = colours

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Example:
        _, image, label = self._pairs[index]
        return pictures.read_example(
            image,
            label,
            labels=self._labels,
            table=self._table,
            colours=self._colours,
        )

    def name(self, index: int) -> str:
        return str(self._pairs[index].image)

    def size(self, index: int) -> tuple[int, int]:
        """Height and width, from the header of the mask, to which photos are turned."""
        return picture_files.read_size(self._pairs[index].label)

    def label(self, index: int) -> np.ndarray:
        """The mask alone, train ids [H, W]."""
        return pictures.read_mask(
            self._pairs[index].label,
            labels=self._labels,
            table=self._table,
            colours=self._colours,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairFolder:
    """A folder of pairs, by default `<split>/images` and `<split>/masks`.

    Attributes:
        root: the folder; $VARIABLES and ~ are expanded.
        form: "folder" reads the files themselves, "tfds" an ArrayRecord copy of them
            that is made on first use. Both give the same arrays.
        tfds_dir: where the copy is; by default where TFDS keeps all its data,
            $TFDS_DATA_DIR or ~/tensorflow_datasets, and never beside the folder,
            which may be shared.
    """

    root: str
    form: str = "folder"
    tfds_dir: str = ""

    title: ClassVar[str] = "data set"
    origin: ClassVar[str] = "your own pictures"
    layout: ClassVar[str] = (
        "  <split>/images/NAME.jpg   or .png, .tif, .webp, .bmp; <split> is train, "
        "val, ...\n"
        "  <split>/masks/NAME.png    one class id per pixel; or <split>/labels\n"
        "  <split>/list.txt          optional: the NAMEs to use, one a line\n"
        f"  classes.json              {class_table.EXAMPLE}"
    )

    def __post_init__(self):
        if not self.root:
            raise ValueError("config.data.root is the folder to read: give it")
        _check_choice("form", self.form, ("folder", "tfds"))

    @functools.cached_property
    def path(self) -> pathlib.Path:
        """The folder, as an absolute path."""
        return pathlib.Path(config.expand(self.root)).absolute()

    @functools.cached_property
    def labels(self) -> labels_lib.LabelSet:
        """The classes, from the table in the folder (or in its ArrayRecord copy)."""
        if self.form == "tfds":
            return self._tfds().read_labels(self)
        return self.read_labels()

    def source(self, split: str) -> Source:
        """The pictures of one split, sorted by name or as its list has them.

        Raises:
            FileNotFoundError: if the folder or files that a list names are missing.
            ValueError: if the split is, or pictures lack a mask.
        """
        if self.form == "tfds":
            return self._tfds().open_split(self, split)
        return PairSource(self.pairs(split), self.labels)

    def pairs(self, split: str) -> list[Pair]:
        """Finds the files of a split; errors as for `source`."""
        splits = self.splits()
        if split not in splits:
            raise ValueError(
                f"{self.title} at {self.path} has no split {split!r}; it has "
                f"{', '.join(splits) or 'none'}. Expected:\n{self.layout}"
            )
        images, labels = self.find_files(split)
        names = self.chosen_names(split)
        if names is not None:
            images = self._listed(images, names, split)
            labels = {name: labels[name] for name in names if name in labels}
        self._check_partners(images, labels, split)
        return [Pair(name, image, labels[name]) for name, image in images.items()]

    def chosen_names(self, split: str) -> list[str] | None:
        """The names of the pictures that make up a split; None for all in its place."""
        return self.read_list(split)

    def splits(self) -> tuple[str, ...]:
        """The names of the splits in the folder.

        Raises:
            FileNotFoundError: if there is no such folder.
        """
        self.check_exists()
        return self.find_splits()

    def check_exists(self) -> None:
        """Raises FileNotFoundError, with what to do, if there is no such folder."""
        if not self.path.is_dir():
            raise FileNotFoundError(
                f"{self.title}: there is no folder {self.path} (root={self.root!r}). "
                f"Expected:\n{self.layout}\nGet it from: {self.origin}"
            )

    # What follows depends on the layout; data sets with another override it.

    def read_labels(self) -> labels_lib.LabelSet:
        """Reads the class table."""
        self.check_exists()
        return read_class_table(self.path / "classes.json", layout=self.layout)

    def find_splits(self) -> tuple[str, ...]:
        """Lists the splits of an existing folder."""
        return tuple(sorted(p.parent.name for p in self.path.glob("*/images")))

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        """The pictures and the masks of a split by name, sorted.

        Raises:
            ValueError: if it is not clear which files they are.
        """
        folder = self.path / split
        masks = [folder / n for n in ("masks", "labels") if (folder / n).is_dir()]
        if len(masks) > 1:
            raise ValueError(
                f"{folder} has both masks and labels: remove or rename one of them"
            )
        found = files_by_name(masks[0]) if masks else {}
        return files_by_name(folder / "images"), found

    def read_list(self, split: str) -> list[str] | None:
        """The names to use, in order, or None for all that are there."""
        file = self.path / split / "list.txt"
        return read_names(file.read_text().splitlines()) if file.is_file() else None

    def plain_mask(self, file: pathlib.Path) -> picture_files.Picture:
        """A mask as a picture: the file, or the bytes of one made of it."""
        return file

    def _tfds(self):
        extras.require(
            "tensorflow_datasets", purpose='data.form="tfds"', instead='form="folder"'
        )
        from jaxseg.data import tfds

        return tfds

    def _listed(self, images, names, split):
        missing = [name for name in names if name not in images]
        if missing:
            raise FileNotFoundError(
                f"{self.title} at {self.path}: {len(missing)} of {len(names)} pictures "
                f"listed for split {split!r} are not there: {first(missing)}. Fetch "
                f"the folder anew ({self.origin}) or take them out of the list"
            )
        return {name: images[name] for name in names}

    def _check_partners(self, images, labels, split):
        problems = []
        without_label = [name for name in images if name not in labels]
        if without_label:
            problems.append(
                f"{len(without_label)} of {len(images)} pictures have no label: "
                f"{first(without_label)}"
            )
        without_image = [name for name in labels if name not in images]
        if without_image:
            problems.append(
                f"{len(without_image)} of {len(labels)} labels have no picture: "
                f"{first(without_image)}"
            )
        if not images and not labels:
            problems.append("it has no pictures")
        if problems:
            raise ValueError(
                f"{self.title} at {self.path} is incomplete in split {split!r}: "
                f"{'; '.join(problems)}. Expected:\n{self.layout}\n"
                f"Get it from: {self.origin}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder(PairFolder):
    """A user's own pictures: `<split>/images` and `<split>/masks`, or lists of pairs.

    Classes are those of `classes.json`. Without one they are the ids that the masks
    hold, all of which are read for it, once; see `found_classes`.

    Attributes:
        class_ids: the ids in the masks that are classes, in train-id order; empty for
            those of the table or, without one, those found.
        ignore_id: an id, or several, that is left unlabelled besides the one of the
            table, which is 255 without one. A class that is ignored is none.
        unknown: "raise" at an id (or colour) in a mask that is neither a class nor
            ignored; or "ignore", which leaves such pixels unlabelled.
        masks: "ids" for grey or palette pictures whose values are ids; "rgb" for
            colours, which the `rgb` of each class in classes.json explains.
    """

    class_ids: tuple[int, ...] = ()
    ignore_id: int | tuple[int, ...] = ()
    unknown: str = "raise"
    masks: str = "ids"

    layout: ClassVar[str] = (
        "  <split>/images/NAME.jpg   or .png, .tif, .webp, .bmp; <split> is train, "
        "val, ...\n"
        "  <split>/masks/NAME.png    one class id per pixel; or <split>/labels\n"
        "  <split>/list.txt          optional: the NAMEs to use, one a line\n"
        "  <split>.txt or .csv       instead of these: a picture and its mask a line\n"
        f"  classes.json              optional: {class_table.EXAMPLE}"
    )

    def __post_init__(self):
        super().__post_init__()
        _check_choice("unknown", self.unknown, ("raise", "ignore"))
        _check_choice("masks", self.masks, ("ids", "rgb"))
        choices = (self.class_ids, self.ignore_id, self.unknown, self.masks)
        if self.form == "tfds" and choices != ((), (), "raise", "ids"):
            raise ValueError(
                "config.data.class_ids, ignore_id, unknown and masks are for "
                'form="folder": an ArrayRecord copy keeps the classes of its folder, '
                "which classes.json may change"
            )

    @functools.cached_property
    def labels(self) -> labels_lib.LabelSet:
        """The classes, of the folder (or of its ArrayRecord copy), as chosen.

        Raises:
            ValueError: if fewer than two are left, or the choice contradicts itself.
        """
        if self.form == "tfds":
            labels = self._tfds().read_labels(self)
        else:
            labels = class_table.choose(
                self.read_labels(),
                class_ids=self.class_ids,
                ignore_id=_as_tuple(self.ignore_id),
                unknown=self.unknown,
            )
        return class_table.check_several(labels, where=f"{self.title} at {self.path}")

    @functools.cached_property
    def colours(self) -> ColourTable | None:
        """What the colours of the masks mean; None if their values are ids."""
        if self.masks == "ids":
            return None
        ids = class_table.read_colours(self.path / "classes.json", layout=self.layout)
        table = self.labels.lookup_table()
        return ColourTable(
            colours=tuple(ids),
            train_ids=tuple(int(table[i]) for i in ids.values()),
            unknown=self.labels.ignore if self.unknown == "ignore" else UNKNOWN,
            dtype=self.labels.dtype,
        )

    def source(self, split: str) -> Source:
        if self.form == "tfds":
            return super().source(split)
        return PairSource(self.pairs(split), self.labels, self.colours)

    def pairs(self, split: str) -> list[Pair]:
        pairs = super().pairs(split)
        missing = [
            str(file)
            for pair in pairs
            for file in (pair.image, pair.label)
            if not file.is_file()  # a list may name what is not there
        ]
        if missing:
            raise FileNotFoundError(
                f"{self.title} at {self.path}: {len(missing)} of {2 * len(pairs)} "
                f"files of split {split!r} are not there: {first(missing)}. Paths of a "
                "list are relative to its folder"
            )
        return pairs

    def read_labels(self) -> labels_lib.LabelSet:
        self.check_exists()
        file = self.path / "classes.json"
        if file.is_file():
            return read_class_table(file, layout=self.layout)
        if self.masks == "rgb":
            raise FileNotFoundError(
                f'config.data.masks="rgb" needs {file}, which says what the colours '
                f"are: {class_table.EXAMPLE}"
            )
        if self.class_ids:
            return class_table.numbered(self.class_ids)
        masks = [self.find_files(split)[1].values() for split in self.find_splits()]
        return found_classes.find(list(itertools.chain(*masks)), where=str(self.path))

    def find_splits(self) -> tuple[str, ...]:
        lists = pair_list.find_lists(self.path)
        return tuple(sorted({*super().find_splits(), *lists}))

    def find_files(
        self, split: str
    ) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
        listed = pair_list.find_lists(self.path).get(split)
        if listed is None:
            return super().find_files(split)
        if (self.path / split / "images").is_dir():
            raise ValueError(
                f"{self.title} has {listed} and {self.path / split / 'images'}: remove "
                f"or rename one of them, since both say what {split!r} is"
            )
        pairs = pair_list.read_list(listed)
        images = {pair.name: pair.image for pair in pairs}
        return images, {pair.name: pair.label for pair in pairs}


class DuplicateNameError(ValueError):
    """Two files of a folder differ in their suffix only."""


def files_by_name(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The picture files in a folder by name without suffix, sorted; none if missing.

    Raises:
        DuplicateNameError: if two files differ in their suffix only.
    """
    if not folder.is_dir():
        return {}
    files = [
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    ]
    twice = [n for n, k in collections.Counter(f.stem for f in files).items() if k > 1]
    if twice:
        raise DuplicateNameError(
            f"{folder} holds several files of one name: {first(twice)} "
            f"({', '.join(f.name for f in files if f.stem == twice[0])}). Keep one"
        )
    return {file.stem: file for file in sorted(files, key=lambda file: file.stem)}


def read_names(lines: Iterable[str]) -> list[str]:
    """Names without folder and suffix, from the lines of a list; each name once."""
    names = []
    for line in lines:
        path = pathlib.PurePosixPath(line.strip())
        if path.name:
            names.append(path.stem if path.suffix.lower() in SUFFIXES else path.name)
    return list(dict.fromkeys(names))


def part_of(split: str) -> tuple[str, slice]:
    """Reads "train[:-500]" as the split "train" and a slice of it.

    Raises:
        ValueError: if what is in brackets is no slice of whole numbers.
    """
    name, bracket, bounds = split.partition("[")
    if not bracket:
        return name, slice(None)
    found = re.fullmatch(r"(-?\d+)?:(-?\d+)?\]", bounds)
    if not found:
        raise ValueError(
            f"a part of a split is written as 'train[:-500]' or 'train[-500:]': "
            f"{split!r}"
        )
    first, last = (int(bound) if bound else None for bound in found.groups())
    return name, slice(first, last)


def _check_choice(key: str, value: str, known: tuple[str, str]) -> None:
    if value not in known:
        raise ValueError(
            f"config.data.{key} is {known[0]!r} or {known[1]!r}: {value!r}"
        )


def _as_tuple(ids: int | Sequence[int]) -> tuple[int, ...]:
    return (ids,) if isinstance(ids, int) else tuple(ids)


def first(names: Collection[str], count: int = 3) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(list(names)[:count])
    return shown + (f" and {len(names) - count} more" if len(names) > count else "")
