"""Makes the word vectors of your own class names from published files of vectors.

    python -m jaxseg.tools.word_vectors --classes DIR/classes.json \
        --vectors crawl-300d-2M.vec,GoogleNews-vectors-negative300.bin.gz \
        --parts fasttext,word2vec --out words.npz

A name is split at spaces, hyphens and underscores, and its vector is the sum of the
vectors of its words as the file has them, divided by its length: the rule by which the
vectors of SPNet and CaGNet were made. Each file becomes a part of its own;
`word_vectors.read` joins them.

Classes are a class table (.json), a text file with a name a line, or names separated by
commas. "pottedplant=potted plant" looks up other words for a name. A word is looked up
as it is spelt, then in lower case. What is not found is printed; a class of which a
file has no word at all ends the job, or is left out with --skip_missing.
"""

import argparse
import collections
import difflib
import os
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxseg.data import class_table, vector_files, word_vectors

_PREFIX = 3  # letters that words spelt alike share
_MOST_KEPT = 5000  # of such words
_RESERVED = ("names", "label_id")


def read_classes(given: str) -> dict[str, tuple[str, ...]]:
    """Reads the words of each class.

    Args:
        given: the path of a class table or of a text file, or names and commas.

    Returns:
        The words by the class's name, in the order given.

    Raises:
        ValueError: if there are no classes, two have one name or one has no words.
    """
    classes: dict[str, tuple[str, ...]] = {}
    for name, text in read_texts(given).items():
        words = tuple(filter(None, re.split(r"[\s_-]+", text or name)))
        if not words:
            entry = f"{name}={text}" if text else name
            raise ValueError(f"--classes: {entry!r} has no words")
        classes[name] = words
    return classes


def read_texts(given: str) -> dict[str, str]:
    """Reads classes and the other words that are given for some, as "sofa=couch".

    Args:
        given: as for `read_classes`.

    Returns:
        Other words, or "", by the class's name, in the order given.

    Raises:
        ValueError: if there are no classes, or two have one name.
    """
    path = pathlib.Path(given)
    if path.suffix == ".json":
        entries: Sequence[str] = class_table.read_class_table(path).names
    elif path.suffix == ".txt" or os.path.isfile(given):  # not of Path: long lists
        entries = path.read_text(encoding="utf-8").splitlines()
    else:
        entries = given.split(",")
    texts: dict[str, str] = {}
    taken: dict[str, str] = {}
    for entry in filter(None, map(str.strip, entries)):
        name, _, text = (part.strip() for part in entry.partition("="))
        key = word_vectors.key(name)
        if key in taken:
            raise ValueError(f"--classes: {taken[key]!r} and {name!r} are one name")
        taken[key] = name
        texts[name] = text
    if not texts:
        raise ValueError(f"--classes: {given!r} holds no class")
    return texts


class Vocabulary:
    """Collects the words of a file that are spelt like those looked for.

    Args:
        words: that may be missing.
    """

    def __init__(self, words: Sequence[str]):
        self._prefixes = {w.lower()[:_PREFIX].encode() for w in words}
        self._alike: list[str] = []
        halves = {half for w in words for half in (*_heads(w), *_tails(w))}
        self._halves = {half.encode() for half in halves}
        self._found: set[str] = set()

    def look(self, word: bytes) -> None:
        """Takes notice of a word of the file."""
        if word in self._halves:
            self._found.add(word.decode())
        is_alike = word[:_PREFIX].lower() in self._prefixes
        if is_alike and len(self._alike) < _MOST_KEPT:
            self._alike.append(word.decode(errors="replace"))

    def suggest(self, word: str) -> list[str]:
        """What to look up in place of a word that the file has not."""
        pairs = zip(_heads(word), _tails(word), strict=True)
        split = [f"{a} {b}" for a, b in pairs if {a, b} <= self._found]
        near = difflib.get_close_matches(word, self._alike, n=3, cutoff=0.75)
        return [*split, *near]


def _heads(word: str) -> list[str]:
    return [word.lower()[:i] for i in range(2, len(word) - 1)]


def _tails(word: str) -> list[str]:
    return [word.lower()[i:] for i in range(2, len(word) - 1)]


def make(
    classes: Mapping[str, Sequence[str]], path: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Makes the vectors of classes from one file.

    Args:
        classes: the words of each class.
        path: of the file.

    Returns:
        float32 [E] unit vectors by class, of those that have a word in the file; and
        what was not found, a line each.

    Raises:
        ValueError: if the file will not do, or the words of a class add up to zero.
    """
    words = list(dict.fromkeys(word for given in classes.values() for word in given))
    spelt = {*words, *map(str.lower, words)}
    vocabulary = Vocabulary(words)
    found = vector_files.find(path, spelt, look=vocabulary.look)
    made: dict[str, np.ndarray] = {}
    report = []
    for name, given in classes.items():
        rows = [found.get(word, found.get(word.lower())) for word in given]
        lacking = [w for w, row in zip(given, rows, strict=True) if row is None]
        if lacking:
            report.append(_line(name, given, lacking, vocabulary))
        if len(lacking) < len(given):
            present = [row for row in rows if row is not None]
            made[name] = unit_sum(present, name=name, path=path)
    return made, report


def unit_sum(rows: Sequence[np.ndarray], *, name: str, path: str) -> np.ndarray:
    """The sum of vectors [E] over its length, float32 of a float64 sum.

    Raises:
        ValueError: if the sum is zero; class and file are for the message.
    """
    total = np.sum(np.stack(rows).astype(np.float64), axis=0)
    length = np.linalg.norm(total)
    if length == 0:
        raise ValueError(
            f"{path}: the vectors of the words of {name!r} add up to zero: give the "
            f"class other words, '{name}=WORDS'"
        )
    return (total / length).astype(np.float32)


def _line(
    name: str, given: Sequence[str], lacking: Sequence[str], vocabulary: Vocabulary
) -> str:
    near = [near for word in lacking for near in vocabulary.suggest(word)]
    what = "none of its words" if len(lacking) == len(given) else "not"
    hint = f"; there is {', '.join(map(repr, near))}" if near else ""
    return f"{name!r}: {what} {', '.join(map(repr, lacking))}{hint}"


def write(
    out: str, parts: Mapping[str, Mapping[str, np.ndarray]], names: Sequence[str]
) -> None:
    """Writes the file that `data.word_vectors.read` reads, whole or not at all.

    Args:
        out: path of the file, .npz.
        parts: the vectors of the classes, by part.
        names: which classes, in the order of the rows.
    """
    arrays: dict[str, Any] = {
        "names": np.array(names),
        "label_id": np.arange(len(names), dtype=np.int32),
    }
    for part, made in parts.items():
        arrays[part] = np.stack([made[name] for name in names])
    with open(f"{out}.part", "wb") as file:
        np.savez(file, **arrays)
    os.replace(f"{out}.part", out)


def run(
    classes: Mapping[str, Sequence[str]],
    files: Mapping[str, str],
    out: str,
    *,
    skip_missing: bool = False,
) -> None:
    """Makes the file; prints what was not found.

    Args:
        classes: the words of each class.
        files: paths by part.
        out: path of the file to write.
        skip_missing: leaves out a class of which a file has no word.

    Raises:
        ValueError: if there is such a class, and it is not to be left out.
    """
    parts, without = {}, collections.Counter[str]()
    for part, path in files.items():
        parts[part], report = make(classes, path)
        print(f"{part}: {len(parts[part])} of {len(classes)} classes, from {path}")
        for line in report:
            print(f"  not found for {line}")
        without.update(name for name in classes if name not in parts[part])
    names = [name for name in classes if name not in without]
    if without and not (skip_missing and names):
        raise ValueError(
            f"no vector for {', '.join(map(repr, without))}: give other words for a "
            "class, as 'pottedplant=potted plant'"
            + (", or leave such classes out with --skip_missing" * bool(names))
        )
    write(out, parts, names)
    left_out = f", {len(without)} left out" if without else ""
    print(f"wrote {len(names)} classes{left_out} to {out}; in a config:")
    spec = f'name="word_vectors.read", path="{out}", parts={tuple(parts)}'
    print(f"  config.word_vectors = dict({spec}, normalise=True)")


def name_parts(vectors: str, parts: str) -> dict[str, str]:
    """Pairs files with the names of their parts, by default the files' own.

    Raises:
        ValueError: if there are not as many of each, or names repeat.
    """
    paths = vectors.split(",")
    names = parts.split(",") if parts else [pathlib.Path(p).name for p in paths]
    if not parts:
        names = [re.sub(r"(\.(vec|bin|txt|gz))+$", "", name) for name in names]
    repeated = len(set(names)) != len(names)
    if len(names) != len(paths) or repeated or set(names) & {*_RESERVED, ""}:
        raise ValueError(
            f"--parts names each of the {len(paths)} files once, and none "
            f"{' or '.join(_RESERVED)}: got {', '.join(names)}"
        )
    return dict(zip(names, paths, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job; 1 and a message if it cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxseg.tools.word_vectors",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--classes", required=True, help="a file, or names and commas")
    parser.add_argument("--vectors", required=True, help="files, separated by commas")
    parser.add_argument("--parts", default="", help="a name for each file's vectors")
    parser.add_argument("--out", required=True, help="the .npz file to write")
    parser.add_argument("--skip_missing", action="store_true")
    given = parser.parse_args(arguments)
    try:
        if not given.out.endswith(".npz"):
            raise ValueError(f"--out must end in .npz: {given.out}")
        run(
            read_classes(given.classes),
            name_parts(given.vectors, given.parts),
            given.out,
            skip_missing=given.skip_missing,
        )
    except (ValueError, OSError) as error:
        print(f"word_vectors: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
