"""CLIP's tokenizer (Radford et al. 2021): from texts to the ids its text tower reads.

Read `tokenize` first. A text is cleaned, split into words, and each word, as bytes, is
put together from the pairs of the published vocabulary (byte-pair encoding, Sennrich et
al. 2016). Written with the standard library: where the authors' code asks the package
`regex` for letters and numbers, this asks `unicodedata`, and the repair of wrongly
decoded text by the package `ftfy` is left out. It changes no class name in ASCII.
"""

import functools
import gzip
import html
import itertools
import re
import unicodedata
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

import numpy as np

CONTEXT_LENGTH = 77  # tokens of a text, its start and end among them
START, END = "<|startoftext|>", "<|endoftext|>"
FILE = "bpe_simple_vocab_16e6.txt.gz"
NUM_MERGES = 48_894  # the file has more, which the authors' code does not read either
_END_OF_WORD = "</w>"
_FIXED = (START, END, "'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
# The authors' `regex` has four control characters fewer among the spaces than `re`.
_SPACES = re.compile(r"[^\S\x1c-\x1f]+")
_RUN = re.compile("L+|N|O+")  # in a text's kinds: letters, one number, all else
_SHOWN = 60  # characters of a text in a message


class Vocabulary(NamedTuple):
    """What the file says.

    Attributes:
        ids: of each token, 0 to 49,407.
        ranks: of each pair that may be joined; the lowest is joined first.
    """

    ids: dict[str, int]
    ranks: dict[tuple[str, str], int]


def tokenize(
    texts: Sequence[str],
    *,
    context_length: int = CONTEXT_LENGTH,
    truncate: bool = False,
) -> np.ndarray:
    """Turns texts into rows of ids: start, tokens, end, zeros.

    Args:
        texts: of any length; case does not count.
        context_length: T.
        truncate: cuts longer texts, the last token of which is still the end.

    Returns:
        int32 [N, T].

    Raises:
        ValueError: naming a text of more than T tokens, and how many it has.
    """
    ids = vocabulary().ids
    rows = np.zeros((len(texts), context_length), np.int32)
    for row, text in zip(rows, texts, strict=True):
        tokens = [ids[START], *encode(text), ids[END]]
        if len(tokens) > context_length:
            if not truncate:
                raise ValueError(
                    f"the text {_shown(text)} has {len(tokens)} tokens with its start "
                    f"and end, and CLIP reads {context_length}: shorten it, or cut it "
                    "with truncate=True"
                )
            tokens = [*tokens[: context_length - 1], ids[END]]
        row[: len(tokens)] = tokens
    return rows


def encode(text: str) -> list[int]:
    """The ids of a text without start and end; none of an empty one."""
    return [i for word in split(clean(text)) for i in _encode_word(word)]


def clean(text: str) -> str:
    """Undoes HTML's spelling, twice as the authors do; lower case, single spaces."""
    text = html.unescape(html.unescape(text))
    return _SPACES.sub(" ", text.strip()).strip().lower()


def split(text: str) -> list[str]:
    """Splits a clean text into words; spaces are in none.

    At each place the first of these that fits is a word: start and end of text, the
    English endings 's 't 're 've 'm 'll 'd, letters as far as they go, a single number,
    other characters as far as they go.
    """
    kinds = "".join(map(_kind, text))
    words, place = [], 0
    while place < len(text):
        word = next((word for word in _FIXED if text.startswith(word, place)), "")
        if not word and (run := _RUN.match(kinds, place)):
            word = text[place : run.end()]
        if word:
            words.append(word)
        place += max(len(word), 1)
    return words


@functools.cache
def vocabulary() -> Vocabulary:
    """Reads the published vocabulary, which comes with the package, once."""
    file = resources.files("jaxseg.data") / "clip_bpe" / FILE
    with file.open("rb") as packed, gzip.open(packed, "rt", encoding="utf-8") as lines:
        chosen = itertools.islice(lines, 1, 1 + NUM_MERGES)  # the first is a title
        first_second = [line.split() for line in chosen]
    pairs = [(first, second) for first, second in first_second]
    letters = list(_letters().values())
    tokens = [
        *letters,
        *(letter + _END_OF_WORD for letter in letters),
        *("".join(pair) for pair in pairs),
        START,
        END,
    ]
    return Vocabulary(
        ids={token: i for i, token in enumerate(tokens)},
        ranks={pair: rank for rank, pair in enumerate(pairs)},
    )


@functools.cache
def _letters() -> dict[int, str]:
    """The character that stands for each byte, in the order of the vocabulary.

    Bytes that print stand for themselves; the others have the characters from 256 on.
    """
    prints = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in prints]
    moved = {byte: chr(256 + i) for i, byte in enumerate(others)}
    return {byte: chr(byte) for byte in prints} | moved


def _kind(character: str) -> str:
    """L of a letter, N of a number, S of a space, O of all else."""
    category = unicodedata.category(character)[0]
    if category in "LN":
        return category
    return "S" if _SPACES.match(character) else "O"


@functools.lru_cache(maxsize=4096)
def _encode_word(word: str) -> tuple[int, ...]:
    ids, ranks = vocabulary()
    if word in (START, END):
        return (ids[word],)
    letters = _letters()
    parts = [letters[byte] for byte in word.encode("utf-8")]
    parts[-1] += _END_OF_WORD
    while known := [pair for pair in itertools.pairwise(parts) if pair in ranks]:
        parts = _join(parts, min(known, key=ranks.__getitem__))
    return tuple(ids[part] for part in parts)


def _join(parts: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """Joins a pair wherever it stands, from left to right."""
    joined: list[str] = []
    place = 0
    while place < len(parts):
        here = tuple(parts[place : place + 2]) == pair
        joined.append("".join(pair) if here else parts[place])
        place += 1 + here
    return joined


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
