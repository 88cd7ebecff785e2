"""Files of word vectors, as fastText, word2vec and GloVe publish them.

Read `find` first. Such files have millions of rows and gigabytes: they are read once,
from front to back, and only the rows that are asked for are kept.
"""

import contextlib
import gzip
import io
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import numpy as np

_SNIFFED = 1 << 20  # bytes looked at to tell the form; longer than any first rows
_CHUNK = 1 << 24
_FASTTEXT_MODEL = struct.pack("<i", 793712314)  # how a model of fastText begins
_GZIP = b"\x1f\x8b"

Look = Callable[[bytes], None]


class VectorFileError(ValueError):
    """A file that is no table of word vectors; the message says where and why."""


class Form(NamedTuple):
    """How a file is laid out.

    Attributes:
        size: E, numbers a row.
        num_rows: of which the header speaks; None without a header.
        is_binary: whether rows are a word, a space and E little-endian float32.
    """

    size: int
    num_rows: int | None
    is_binary: bool


def find(
    path: str, words: Collection[str], *, look: Look = lambda word: None
) -> dict[str, np.ndarray]:
    """Finds the vectors of some words.

    The file is text, with a header "rows size" (fastText's .vec, word2vec) or without
    (GloVe), or word2vec's binary; any of them may be compressed by gzip. Of a word that
    is there twice the first row counts, as for gensim. Reading ends when all words are
    found.

    Args:
        path: of the file.
        words: spelt as in the file.
        look: is called with each word of the file that is read, in UTF-8.

    Returns:
        float32 [E] by word, as stored, for those that were found.

    Raises:
        FileNotFoundError: if there is no such file.
        VectorFileError: if the file has another form, is cut short, or a row that is
            asked for has another size or is not finite.
    """
    wanted = {word.encode() for word in words}
    found: dict[str, np.ndarray] = {}
    with _opened(path) as file:
        form = _form(file, path)
        rows = _binary_rows if form.is_binary else _text_rows
        number = 0
        try:
            for number, (word, vector) in enumerate(rows(file, form, wanted), 1):
                look(word)
                if vector is None or word.decode() in found:
                    continue
                found[word.decode()] = _checked(vector, form, f"{path}: row {number}")
                if len(found) == len(wanted):
                    return found
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise VectorFileError(
                f"{path} is damaged or not wholly there ({error}): fetch it again"
            ) from error
    if form.num_rows is not None and number < form.num_rows:
        raise VectorFileError(
            f"{path} has {number} rows, and its header says {form.num_rows}: it is cut "
            "short, fetch it again"
        )
    return found


@contextlib.contextmanager
def _opened(path: str) -> Iterator[io.BufferedReader]:
    with open(path, "rb") as file:
        is_packed = file.read(2) == _GZIP
        file.seek(0)
        raw: Any = gzip.GzipFile(fileobj=file) if is_packed else file
        yield io.BufferedReader(raw, _SNIFFED)


def _form(file: io.BufferedReader, path: str) -> Form:
    """Tells the form from the first rows, and goes behind the header."""
    try:
        start = file.read(_SNIFFED)
        file.seek(0)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise VectorFileError(f"{path} is damaged ({error}): fetch it again") from error
    if start.startswith(_FASTTEXT_MODEL):
        raise VectorFileError(
            f"{path} is a model of fastText, not a table of vectors: take the .vec "
            "file that is published beside it"
        )
    first = start.split(b"\n", 1)[0].split()
    if len(first) == 2 and all(field.isdigit() for field in first):
        file.readline()
        count, size = map(int, first)
        row = start.split(b"\n", 2)[1] if start.count(b"\n") else b""
        return Form(size, count, is_binary=not _is_text(row, size))
    size = len(first) - 1
    if size < 2 or not _is_text(start.split(b"\n", 1)[0], size):
        raise VectorFileError(
            f"{path} is no file of word vectors: expected are a word and its numbers a "
            "line, a line 'rows size' before them or not, or word2vec's binary"
        )
    return Form(size, None, is_binary=False)


def _is_text(row: bytes, size: int) -> bool:
    fields = row.rstrip().rsplit(b" ", size)
    return len(fields) == size + 1 and _numbers(fields[1:]) is not None


def _text_rows(
    file: io.BufferedReader, form: Form, wanted: Collection[bytes]
) -> Iterator[tuple[bytes, Any]]:
    """Words, with their numbers where they are wanted."""
    for line in file:
        word = line[: line.find(b" ")]
        if word in wanted:
            fields = line.rstrip().rsplit(b" ", form.size)
            rest = fields[0].split(b" ")[1:]
            if rest and _numbers(rest) is None:
                word = fields[0]  # of several tokens, as some of GloVe's are
                yield word, None
            else:
                yield word, line.split()[1:]
        elif line.strip():
            yield word, None


def _binary_rows(
    file: io.BufferedReader, form: Form, wanted: Collection[bytes]
) -> Iterator[tuple[bytes, Any]]:
    """As `_text_rows`, of a file whose header is read."""
    length, buffer, position = 4 * form.size, b"", 0
    for _ in range(form.num_rows or 0):
        end = buffer.find(b" ", position)
        if end < 0 or end + 1 + length > len(buffer):
            buffer = buffer[position:] + file.read(_CHUNK)
            position, end = 0, buffer.find(b" ")
            if end < 0 or end + 1 + length > len(buffer):
                return
        word = buffer[position:end].lstrip(b"\n")
        position = end + 1 + length
        stored = buffer[end + 1 : position]
        yield word, np.frombuffer(stored, "<f4") if word in wanted else None


def _checked(vector: Any, form: Form, where: str) -> np.ndarray:
    if len(vector) != form.size:
        raise VectorFileError(
            f"{where} has {len(vector)} numbers, the first row {form.size}: all "
            "vectors must be of one size"
        )
    numbers = vector if isinstance(vector, np.ndarray) else _numbers(vector)
    if numbers is None or not np.isfinite(numbers).all():
        raise VectorFileError(f"{where} holds what is no finite number")
    return numbers.astype(np.float32)


def _numbers(fields: list[bytes]) -> np.ndarray | None:
    try:
        return np.array([float(field) for field in fields], np.float32)
    except ValueError:
        return None
