"""Classes of a folder without a table: the ids that its masks hold. Read `find`."""

import hashlib
import json
import os
import pathlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from jaxseg.data import class_table, picture_files, pictures
from jaxseg.data.labels import IGNORE, LabelSet
from jaxseg.data.mask_colours import Colour, row_blocks
from jaxseg.data.source import PictureError

MAX_CLASSES = IGNORE - 1


class Found(NamedTuple):
    """What the masks of a folder hold.

    Attributes:
        counts: pixels by id.
        palette: the colours of a palette picture by id; empty without one.
    """

    counts: dict[int, int]
    palette: dict[int, Colour]


def find(masks: Sequence[pathlib.Path], *, where: str) -> LabelSet:
    """Makes a class of every id in the masks but 255, which is ignored.

    All masks are read once; what they hold is then kept in the user's cache, until a
    file is added, removed or changed. The log says what was found.

    Args:
        masks: the files.
        where: the folder, for messages.

    Returns:
        the classes in the order of their ids, called class_<id>.

    Raises:
        PictureError: if no mask can be read.
        ValueError: if there are no masks, or their ids are no class ids.
    """
    if not masks:
        raise ValueError(f"{where} has neither classes.json nor masks to find ids in")
    cache = cache_file(masks)
    found = _read_cache(cache)
    if found is None:
        logging.info("%s has no classes.json: reading %d masks", where, len(masks))
        found = scan(masks)
        _write_cache(cache, found)
    ids = [i for i in sorted(found.counts) if i != IGNORE]
    _check_ids(ids, found, where)
    logging.info("%s: %s", where, describe(found, len(masks)))
    colours = {i: found.palette[i] for i in ids if i in found.palette}
    shared = len(set(colours.values())) < len(ids)  # a palette that tells nothing
    return class_table.numbered(ids, {} if shared else colours)


def scan(masks: Sequence[pathlib.Path], *, num_threads: int | None = None) -> Found:
    """Counts the ids of masks; ones that cannot be read are named in the log.

    Raises:
        PictureError: if none can be read.
    """
    counts: Counter[int] = Counter()
    palette: dict[int, Colour] = {}
    errors = []
    with futures.ThreadPoolExecutor(num_threads or os.cpu_count()) as pool:
        for found in pool.map(_scan_one, masks):
            if isinstance(found, PictureError):
                errors.append(found)
                continue
            counts.update(found.counts)
            palette = palette or found.palette
    if len(errors) == len(masks):
        raise errors[0]
    if errors:
        logging.warning(
            "%d of %d masks cannot be read; the first: %s",
            len(errors),
            len(masks),
            errors[0],
        )
    return Found(dict(counts), palette)


def count_ids(raw: np.ndarray) -> dict[int, int]:
    """Counts the pixels of every id in a mask of whole numbers [H, W]."""
    counts: Counter[int] = Counter()
    for rows in row_blocks(*raw.shape):
        if raw.dtype == np.uint8:  # four times as fast as sorting
            numbers = np.bincount(raw[rows].ravel(), minlength=256)
            values = np.flatnonzero(numbers)
            numbers = numbers[values]
        else:
            values, numbers = np.unique(raw[rows], return_counts=True)
        counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
    return dict(counts)


def palette_of(file: pathlib.Path) -> dict[int, Colour]:
    """The colours of a palette picture by index; empty if it is another."""
    data = picture_files.read_whole(file, str(file))
    with picture_files.opened(data, str(file)) as picture:
        flat = picture.getpalette("RGB") if picture.mode == "P" else None
    levels = flat or []
    return {
        i: (levels[3 * i], levels[3 * i + 1], levels[3 * i + 2])
        for i in range(len(levels) // 3)
    }


def describe(found: Found, num_masks: int) -> str:
    """One line on what was found, with the share of each id."""
    total = sum(found.counts.values())
    shares = [
        f"{i} ({100 * found.counts[i] / total:.2g} %)"
        for i in sorted(found.counts)
        if i != IGNORE
    ]
    shown = ", ".join(shares[:30]) + (" ..." if len(shares) > 30 else "")
    ignored = found.counts.get(IGNORE, 0) / total
    return (
        f"{len(shares)} classes found in {num_masks} masks: {shown}; {IGNORE} is "
        f"ignored ({100 * ignored:.2g} %). A classes.json names them, "
        f"{class_table.EXAMPLE}"
    )


def cache_file(masks: Sequence[pathlib.Path]) -> pathlib.Path:
    """Where the ids of these very files, by path, size and time, are kept."""
    digest = hashlib.sha256()
    for mask in masks:
        facts = mask.stat()
        digest.update(f"{mask}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(caches) / "jaxseg" / "classes" / f"{digest.hexdigest()}.json"


def _scan_one(mask: pathlib.Path) -> Any:
    try:
        return Found(count_ids(pictures.read_label(mask)), palette_of(mask))
    except PictureError as error:
        return error


def _check_ids(ids: Sequence[int], found: Found, where: str) -> None:
    if set(found.counts) == {0, IGNORE}:
        raise ValueError(
            f"the masks of {where} hold 0 and 255 only, and 255 means unlabelled: if "
            "they are black and white masks of one class and the rest, set "
            "config.data.class_ids=(0, 255)"
        )
    if len(ids) > MAX_CLASSES or min(ids, default=0) < 0:
        raise ValueError(
            f"the masks of {where} hold {len(ids)} different ids ({ids[0]} to "
            f"{ids[-1]}), at most {MAX_CLASSES} can be classes: they are numbers of "
            "things, grey levels, or smoothed or resized other than by nearest pixels. "
            'Name the classes in classes.json and set config.data.unknown="ignore", or '
            "write the masks anew"
        )
    if len(ids) < 2:
        raise class_table.SingleClassError(
            f"the masks of {where} hold one class only, {ids or 'unlabelled'}, so "
            "there is nothing to tell apart. If others are to come, list all in "
            "classes.json or config.data.class_ids"
        )


def _read_cache(file: pathlib.Path) -> Found | None:
    if not file.is_file():
        return None
    kept = json.loads(file.read_text())
    return Found(
        {int(i): count for i, count in kept["counts"].items()},
        {int(i): (r, g, b) for i, (r, g, b) in kept["palette"].items()},
    )


def _write_cache(file: pathlib.Path, found: Found) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: several hosts or workers may write it at once.
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as part:
            json.dump(found._asdict(), part)
        os.replace(part.name, file)
    except OSError as error:
        logging.warning("the classes found are not kept for next time: %s", error)
