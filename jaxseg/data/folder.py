"""Pairs of picture and mask files in a folder, and the class table beside them.

Read `Folder` first: it is a data set by itself, for one's own pictures, and the base of
the published ones, which lay their folders out otherwise.
"""

import collections
import dataclasses
import functools
import json
import pathlib
from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar, NamedTuple

from jaxseg import config
from jaxseg.data import extras, pictures
from jaxseg.data import labels as labels_lib
from jaxseg.data.source import Example, Source

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


class Pair(NamedTuple):
    """A picture and its mask."""

    name: str
    image: pathlib.Path
    label: pathlib.Path


class PairSource:
    """Random access over a list of pairs."""

    def __init__(self, pairs: Sequence[Pair], labels: labels_lib.LabelSet):
        self._pairs = tuple(pairs)
        self._labels = labels
        self._table = labels.lookup_table()

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Example:
        _, image, label = self._pairs[index]
        return pictures.read_example(
            image, label, labels=self._labels, table=self._table
        )

    def name(self, index: int) -> str:
        return str(self._pairs[index].image)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder of `<split>/images`, `<split>/labels` and `classes.json`.

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
        "  classes.json               {'ignore_id': 255, 'classes': [{'id': 0, "
        "'name': 'sky', 'rgb': [128, 128, 128]}, ...]}\n"
        "  <split>/images/NAME.jpg    or .png\n"
        "  <split>/labels/NAME.png    one class id per pixel\n"
        "  <split>/list.txt           optional: the NAMEs to use, one a line"
    )

    def __post_init__(self):
        if self.form not in ("folder", "tfds"):
            raise ValueError(f"config.data.form is 'folder' or 'tfds': {self.form!r}")

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
        names = self.read_list(split)
        if names is not None:
            images = self._listed(images, names, split)
            labels = {name: labels[name] for name in names if name in labels}
        self._check_partners(images, labels, split)
        return [Pair(name, image, labels[name]) for name, image in images.items()]

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
        """The pictures and the masks of a split by name, sorted."""
        folder = self.path / split
        return files_by_name(folder / "images"), files_by_name(folder / "labels")

    def read_list(self, split: str) -> list[str] | None:
        """The names to use, in order, or None for all that are there."""
        file = self.path / split / "list.txt"
        return read_names(file.read_text().splitlines()) if file.is_file() else None

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


def files_by_name(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The picture files in a folder by name without suffix, sorted; none if missing.

    Raises:
        ValueError: if two files differ in their suffix only.
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
        raise ValueError(
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


def read_class_table(
    file: pathlib.Path, *, layout: str = Folder.layout
) -> labels_lib.LabelSet:
    """Reads classes.json; classes keep its order, without the ignored one.

    The ignored id is `ignore_id`, or that of a class called "void" or "unlabelled" if
    the table has no such key.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a table.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no class table at {file}. Expected:\n{layout}")
    try:
        table = json.loads(file.read_text())
        entries = [
            (int(c["id"]), str(c["name"]), _colour(c["rgb"])) for c in table["classes"]
        ]
        ignored = _ignored_ids(table, entries)
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} is no class table ({type(error).__name__}: {error}). "
            f"Expected:\n{layout}"
        ) from error
    kept = [entry for entry in entries if entry[0] not in ignored]
    return labels_lib.LabelSet(
        names=tuple(name for _, name, _ in kept),
        palette=tuple(colour for _, _, colour in kept),
        raw_ids=tuple(i for i, _, _ in kept),
        ignored_raw_ids=ignored,
    )


def _colour(rgb) -> tuple[int, int, int]:
    red, green, blue = map(int, rgb)
    return red, green, blue


def _ignored_ids(table, entries) -> tuple[int, ...]:
    if table.get("ignore_id") is not None:
        return (int(table["ignore_id"]),)
    void = ("void", "unlabelled", "unlabeled")
    return tuple(i for i, name, _ in entries if name.lower() in void)


def first(names: Collection[str], count: int = 3) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(list(names)[:count])
    return shown + (f" and {len(names) - count} more" if len(names) > count else "")
