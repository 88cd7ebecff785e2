"""Lists of pairs: text or CSV files with a picture and its mask in every line."""

import csv
import itertools
import pathlib
from typing import NamedTuple

LIST_SUFFIXES = (".txt", ".csv")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


class Pair(NamedTuple):
    """A picture and its mask."""

    name: str
    image: pathlib.Path
    label: pathlib.Path


def find_lists(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """The lists of pairs in a folder by split, `train.txt` for "train"; sorted.

    Other text files are passed over: a list is known by its first line, two names of
    pictures, or by a second one of that kind under a headline.

    Raises:
        ValueError: if a split has two, `train.txt` and `train.csv`.
    """
    found: dict[str, pathlib.Path] = {}
    for file in sorted(root.iterdir()):
        if file.suffix.lower() not in LIST_SUFFIXES or not _is_list(file):
            continue
        if file.stem in found:
            raise ValueError(
                f"{root} has two lists of {file.stem!r}: {found[file.stem].name} and "
                f"{file.name}. Keep one"
            )
        found[file.stem] = file
    return found


def read_list(file: pathlib.Path) -> list[Pair]:
    """Reads the pairs of a list; paths are relative to its folder or absolute.

    Lines of a .csv are as spreadsheets write them; those of a .txt have a blank, a tab
    or a comma between the two paths. Empty lines and those with # are passed over.

    Returns:
        the pairs in the list's order, each named as its picture, without suffix.

    Raises:
        ValueError: naming the line that is no pair, or a picture that is there twice.
    """
    pairs: dict[str, Pair] = {}
    for number, fields in enumerate(_lines(file), start=1):
        if not fields or (number == 1 and not _are_pictures(fields)):
            continue  # a headline may say what the columns are
        if not _are_pictures(fields):
            raise ValueError(
                f"{file}, line {number}: expected a picture and its mask, got {fields}."
                " Paths with blanks need a .csv"
            )
        image, label = (file.parent / field for field in fields)
        name = pathlib.PurePath(fields[0]).with_suffix("").as_posix()
        if name in pairs:
            raise ValueError(f"{file}, line {number}: {fields[0]} is there twice")
        pairs[name] = Pair(name, image, label)
    return list(pairs.values())


def _is_list(file: pathlib.Path) -> bool:
    first = [fields for fields in _lines(file, at_most=5) if fields][:2]
    return any(_are_pictures(fields) for fields in first)


def _lines(file: pathlib.Path, *, at_most: int | None = None) -> list[list[str]]:
    """The fields of every line; empty for a line without any."""
    with open(file, newline="", errors="replace") as text:
        lines = list(itertools.islice(text, at_most))
    if file.suffix.lower() == ".csv":
        return [[field.strip() for field in row] for row in csv.reader(lines)]
    return [
        [] if line.lstrip().startswith("#") else line.replace(",", " ").split()
        for line in lines
    ]


def _are_pictures(fields: list[str]) -> bool:
    return len(fields) == 2 and all(
        pathlib.PurePath(field).suffix.lower() in PICTURE_SUFFIXES for field in fields
    )
