"""Stored CLIP embeddings of class names, in place of CLIP's text tower.

`read` takes them from a file, by name; `write` makes such a file of embeddings that
`jaxseg.pretrained.text_table` has computed.
"""

import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from jaxseg import config
from jaxseg.data import prompts, word_vectors
from jaxseg.data.word_vectors import BACKGROUND, WordVectorError

# The models whose text towers are known, and E, the size of what they return.
EMBEDDING_DIMS = {"ViT-B/32": 512, "ViT-B/16": 512, "ViT-L/14": 768}
# Classes that a file may name otherwise; what CLIP was asked is the stored prompt.
SYNONYMS = (*word_vectors.SYNONYMS, *prompts.synonyms())
_REMEDY = (
    "make a file with: python -m jaxseg.tools.text_table, or encode the names with "
    "config.word_vectors=dict(name='jaxseg.pretrained.text_table:encode', weights=...)"
)
_EXPECTED = "the arrays `names`, `prompts` and `embeddings`"
_SEE = f"stored embeddings have {_EXPECTED}"


def read(
    names: Sequence[str],
    *,
    path: str,
    background: str = BACKGROUND,
    model: str = "",
    normalise: bool = False,
) -> np.ndarray:
    """Reads the embeddings of classes from a file, by name.

    Names are matched as by `word_vectors.read`, with `SYNONYMS`: a class whose own name
    the file lacks has the row of its synonym.

    Args:
        names: of the classes, in train-id order.
        path: of an npz file with `names`, text [N], and `embeddings`, float [N, E];
            $VARIABLES and ~ are expanded.
        background: the row of the class "background"; SAZS (Liu et al. 2023) asks CLIP
            for "others".
        model: whose embeddings are expected, a key of `EMBEDDING_DIMS`; "" to take the
            file's. The file says it in an array `model`, or in its name, as in
            voc21_vitb16_photo.npz.
        normalise: divides each embedding by its length, about 10 as CLIP returns it.

    Returns:
        float32 [C, E]; not writeable.

    Raises:
        FileNotFoundError: if there is no such file.
        WordVectorError: if a class has no row or shares one with another, if names
            repeat, if the file is of another model or does not say of which, or if
            its embeddings are none.
    """
    file = config.expand(path)
    arrays = word_vectors.load(
        file, what="CLIP embeddings", expected=_EXPECTED, remedy=_REMEDY
    )
    rows = [str(name) for name in word_vectors.array(arrays, "names", file, see=_SEE)]
    vectors = word_vectors.matrix(arrays, "embeddings", file, see=_SEE)
    check_model(model, model_of(file, arrays), vectors.shape[1], file)
    wanted = [background if name == BACKGROUND else name for name in names]
    if BACKGROUND in names:
        _check_background(background, rows, file)
    chosen = word_vectors.match(wanted, rows, file, synonyms=SYNONYMS, remedy=_REMEDY)
    found = vectors[chosen]
    word_vectors.check_rows(found, names, where=file, remedy=_REMEDY)
    if normalise:
        found = found / np.linalg.norm(found, axis=1, keepdims=True)
    return word_vectors.frozen(found)


def model_of(file: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Whose embeddings a file says that it holds, "" if it does not say."""
    if "model" in arrays:
        return str(arrays["model"])
    found = re.search(r"_vit([bl])(\d\d)(_|\.|$)", pathlib.PurePath(file).name)
    return f"ViT-{found[1].upper()}/{found[2]}" if found else ""


def check_model(wanted: str, found: str, size: int, file: str) -> None:
    """Refuses embeddings of another model: those of two models have nothing in common.

    Args:
        wanted: by the config; "" for any.
        found: by the file; "" if it does not say.
        size: E.
        file: for messages.

    Raises:
        WordVectorError: if they differ, or the size is not the model's.
    """
    if wanted and wanted not in EMBEDDING_DIMS:
        raise WordVectorError(
            f"config.word_vectors.model={wanted!r} is no model of CLIP"
            f"{config.suggest(wanted, EMBEDDING_DIMS)}"
        )
    if wanted and not found:
        raise WordVectorError(
            f"{file} does not say of which model its embeddings are, neither in an "
            "array `model` nor in its name (_vitb16_, _vitb32_), so that it may not be "
            f"{wanted}: add the array, or leave out config.word_vectors.model"
        )
    if wanted and wanted != found:
        raise WordVectorError(
            f"{file} holds embeddings of CLIP {found}, and config.word_vectors.model "
            f"asks for {wanted}. What one model says means nothing to another, even "
            f"of one size: choose a file of {wanted}, or set model={found!r}"
        )
    expected = EMBEDDING_DIMS.get(found, size)
    if size != expected:
        raise WordVectorError(
            f"{file} holds embeddings of {size} numbers, and CLIP {found} has "
            f"{expected}: the file is of another model than it says"
        )


def write(
    path: str | os.PathLike[str],
    names: Sequence[str],
    texts: Sequence[Sequence[str]],
    embeddings: np.ndarray,
    *,
    model: str,
    templates: Sequence[str],
) -> None:
    """Writes a file that `read` reads, whole or not at all.

    Args:
        path: of the .npz file.
        names: of the rows.
        texts: what CLIP was asked for each, a text a template.
        embeddings: [N, E].
        model: a key of `EMBEDDING_DIMS`.
        templates: of the texts.

    Raises:
        WordVectorError: if `model` is no such key, or not of that E.
    """
    if not model:
        raise WordVectorError(f"{path} must say its model: {', '.join(EMBEDDING_DIMS)}")
    check_model(model, model, embeddings.shape[1], str(path))
    with open(f"{path}.part", "wb") as file:
        np.savez(
            file,
            names=np.array(names),
            prompts=np.array([" | ".join(row) for row in texts]),
            embeddings=np.asarray(embeddings, np.float32),
            model=np.array(model),
            template=np.array(templates),
        )
    os.replace(f"{path}.part", path)


def _check_background(background: str, rows: Sequence[str], file: str) -> None:
    if word_vectors.key(background) in map(word_vectors.key, rows):
        return
    there = [name for name in ("others", BACKGROUND) if name in rows]
    others = f"name one that it has: {' or '.join(map(repr, there))}, " * bool(there)
    raise WordVectorError(
        f"{file} has no row {background!r}, by which config.word_vectors.background "
        f"names the class {BACKGROUND!r}: {others}set config.data.background=False, or "
        f"{_REMEDY}"
    )
