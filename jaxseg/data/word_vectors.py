"""The vector of each class's name, which tells classes without pictures apart.

`read` takes them from a file, `drawn` needs none; a config names either in its section
`word_vectors`. `python -m jaxseg.tools.word_vectors` makes a file for other classes.
"""

import collections
import difflib
import hashlib
import re
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from jaxseg import config
from jaxseg.data.labels import LabelSet

# Names that the published label files have for one class, spelt as `key` spells them.
SYNONYMS = (("tv", "tvmonitor"), ("table", "diningtable"))
BACKGROUND = "background"
_PARTS = "see config.word_vectors.parts"
_REMEDY = "make one with: python -m jaxseg.tools.word_vectors"
_EXPECTED = (
    "the arrays `names` and one [N, E] a part, all of numbers and of vectors of one "
    "size"
)


class WordVectorError(ValueError):
    """Word vectors that do not fit the classes; the message names file and class."""


def of(labels: LabelSet) -> np.ndarray:
    """The word vectors of a data set's classes.

    Returns:
        float32 [C, E].

    Raises:
        WordVectorError: if the config asks for none.
    """
    if labels.word_vectors is None:
        raise WordVectorError(
            "this method needs a vector for every class name, and the config names "
            "none: set config.word_vectors=dict(name='word_vectors.read', "
            "path='FILE.npz'), or dict(name='word_vectors.drawn') to try it out"
        )
    return labels.word_vectors


def read(
    names: Sequence[str],
    *,
    path: str,
    parts: Sequence[str] = ("fasttext", "word2vec"),
    normalise: bool = True,
) -> np.ndarray:
    """Reads the vectors of classes from a file, by name.

    A class has the row of its name, whatever the case and with or without spaces,
    hyphens and underscores: "Potted plant" is "potted_plant" and "pottedplant". Where
    there is none it has the row of its synonym, of which there are few: `SYNONYMS`.

    Args:
        names: of the classes, in train-id order.
        path: of an npz file with `names`, text [N], and a float array [N, E] a part;
            $VARIABLES and ~ are expanded.
        parts: which arrays, concatenated in this order. SPNet (Xian et al., CVPR 2019)
            and CaGNet (Gu et al., ACM MM 2020) have fastText first, then word2vec.
        normalise: divides each class's whole vector by its length, as they do; ZS3Net
            (Bucher et al., NeurIPS 2019) takes vectors as they are.

    Returns:
        float32 [C, E], E of all parts together; not writeable.

    Raises:
        FileNotFoundError: if there is no such file.
        WordVectorError: if a class has no row or shares one with another, if names of
            the file or of the classes are the same, if a part is missing or of another
            number of rows, or if a class's row of a part is zero or not finite.
    """
    file = config.expand(path)
    arrays = load(file)
    if not parts or len(set(parts)) != len(parts):
        raise WordVectorError(
            f"config.word_vectors.parts are names of arrays, each once: {parts}"
        )
    spelt = array(arrays, "names", file, see=_PARTS)
    rows = match(names, [str(name) for name in spelt], file)
    found = [matrix(arrays, part, file, see=_PARTS)[rows] for part in parts]
    for part, vectors in zip(parts, found, strict=True):
        check_rows(
            vectors,
            names,
            where=f"part {part!r} of {file}",
            remedy=f"{_REMEDY}, or choose other parts",
        )
    joined = np.concatenate(found, axis=1)
    if normalise:
        joined = joined / np.linalg.norm(joined, axis=1, keepdims=True)
    return frozen(joined)


def drawn(names: Sequence[str], *, size: int = 16) -> np.ndarray:
    """Draws unit vectors that depend on each class's name and nothing else.

    They say nothing of what classes have in common: for trying out, offline.

    Args:
        names: of the classes, in train-id order.
        size: E.

    Returns:
        float32 [C, E]; not writeable.

    Raises:
        WordVectorError: if two classes have the same name.
    """
    if size < 1:
        raise WordVectorError(f"config.word_vectors.size is at least 1: {size}")
    _check_unique(names, "two classes have one name")

    def draw(name: str) -> np.ndarray:
        seed = np.frombuffer(hashlib.sha256(key(name).encode()).digest(), "<u4")
        return np.random.RandomState(seed).standard_normal(size)

    vectors = np.stack([draw(name) for name in names])
    return frozen(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def key(name: str) -> str:
    """A name as names are compared: lower case, no spaces, hyphens or underscores."""
    return re.sub(r"[\s_-]+", "", name.casefold())


def match(
    names: Sequence[str],
    rows: Sequence[str],
    file: str,
    *,
    synonyms: Sequence[Sequence[str]] = SYNONYMS,
    remedy: str = _REMEDY,
) -> list[int]:
    """Finds the row of each class, see `read`.

    Args:
        names: of the classes.
        rows: the names in the file.
        file: for messages.
        synonyms: groups of names of one class, spelt as `key` spells them.
        remedy: for messages, what to do about a name that is not there.

    Raises:
        WordVectorError: if names repeat, or a class has no row of its own.
    """
    _check_unique(names, "two classes have one name (case, spaces and hyphens aside)")
    _check_unique(rows, f"{file} has two rows of one name")
    where = {key(row): i for i, row in enumerate(rows)}
    found = [(name, _find(name, where, synonyms)) for name in names]
    lacking = [name for name, row in found if row is None]
    if lacking:
        raise WordVectorError(
            f"{file} has no vector for {_listed(lacking)}{_nearest(lacking, rows)}: "
            f"{remedy}"
            + (", or set config.data.background=False" * (BACKGROUND in lacking))
        )
    owners: dict[int, str] = {}
    for name, row in found:
        if row in owners:
            raise WordVectorError(
                f"{file}: classes {owners[row]!r} and {name!r} would both have the row "
                f"{rows[row]!r}: give each a row of its own, {remedy}"
            )
        if row is not None:
            owners[row] = name
    return list(owners)


def _find(
    name: str, where: Mapping[str, int], synonyms: Sequence[Sequence[str]]
) -> int | None:
    given = key(name)
    same = (group for group in synonyms if given in group)
    spellings = (given, *(other for group in same for other in group))
    return next((where[s] for s in spellings if s in where), None)


def _nearest(lacking: Sequence[str], rows: Sequence[str]) -> str:
    near = [difflib.get_close_matches(name, rows, n=1) for name in lacking[:5]]
    names = [repr(row) for rows_near in near for row in rows_near]
    return f" (spelt alike: {', '.join(names)})" if names else ""


def load(
    file: str,
    *,
    what: str = "word vectors",
    expected: str = _EXPECTED,
    remedy: str = _REMEDY,
) -> Mapping[str, np.ndarray]:
    """Reads all arrays of an npz file; the words are for messages.

    Raises:
        FileNotFoundError: if there is no such file.
        WordVectorError: if it is none, is damaged or holds Python objects.
    """
    try:
        with open(file, "rb") as opened:
            arrays = np.load(opened, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise ValueError("it holds one array without a name")
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no file of {what} {file} (config.word_vectors.path): give "
            f"another path, or {remedy}"
        ) from error
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise WordVectorError(
            f"cannot read {what} from {file}: {error}. Expected is an npz file with "
            f"{expected}; {remedy}"
        ) from error


def array(
    arrays: Mapping[str, np.ndarray], name: str, file: str, *, see: str
) -> np.ndarray:
    """An array of a file by name.

    Raises:
        WordVectorError: if it is not there.
    """
    if name not in arrays:
        raise WordVectorError(
            f"{file} has no array {name!r}{config.suggest(name, arrays)}: {see}"
        )
    return arrays[name]


def matrix(
    arrays: Mapping[str, np.ndarray], part: str, file: str, *, see: str
) -> np.ndarray:
    """The vectors [N, E] of a file with N names.

    Raises:
        WordVectorError: if they are not there, or are something else.
    """
    vectors, rows = array(arrays, part, file, see=see), len(arrays["names"])
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or len(vectors) != rows:
        raise WordVectorError(
            f"part {part!r} of {file} is {vectors.dtype} {list(vectors.shape)}, but "
            f"{rows} names need floats [{rows}, E]: a vector a name, all of one size"
        )
    return vectors


def check_rows(
    vectors: np.ndarray, names: Sequence[str], *, where: str, remedy: str
) -> None:
    """Refuses vectors [C, E] of which one is zero or not finite.

    Raises:
        WordVectorError: naming their classes.
    """
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist()
    empty = np.flatnonzero(~vectors.any(axis=1)).tolist()
    for bad, what in ((broken, "not finite"), (empty, "zero")):
        if bad:
            classes = [names[i] for i in bad]
            raise WordVectorError(
                f"{where}: the vector of {_listed(classes)} is {what}: {remedy}"
            )


def frozen(vectors: np.ndarray) -> np.ndarray:
    """The vectors as float32, not writeable."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    vectors.setflags(write=False)
    return vectors


def _check_unique(names: Sequence[str], what: str) -> None:
    counts = collections.Counter(map(key, names))
    twice = [name for name in names if counts[key(name)] > 1]
    if twice:
        raise WordVectorError(f"{what}: {_listed(twice)}. Rename all but one of them")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more
