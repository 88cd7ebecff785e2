"""A few canvases for pictures of many sizes, so that evaluation compiles a few times.

`choose` finds the canvases, `assign` puts every picture on one, `plan` makes batches of
them. All are functions of the sizes alone, so that all hosts do the same.
"""

from collections.abc import Callable, Sequence
from concurrent import futures
from typing import NamedTuple

import numpy as np

from jaxseg.data.source import PictureError, Source, UnknownLabelError

Size = tuple[int, int]  # height and width

MULTIPLE = 32  # sides of canvases are multiples of this, as output strides are
MOST_ROUNDED = 200  # canvases to merge from, which takes their number cubed


class Place(NamedTuple):
    """A place of an evaluation batch: a picture, -1 for none, and its canvas."""

    picture: int
    canvas: Size


def read_sizes(
    source: Source, *, on_error: str = "raise", num_threads: int = 2
) -> np.ndarray:
    """The height and width of every picture.

    They come from the files' headers where the source has `size`, otherwise every
    picture is decoded once.

    Args:
        source: the pictures.
        on_error: "raise" or "skip", for unreadable pictures.
        num_threads: that read.

    Returns:
        int32 [N, 2]; 0, 0 for a skipped picture.
    """
    from_header = getattr(source, "size", None)

    def size(index: int) -> tuple[int, ...]:
        try:
            if from_header is not None:
                return from_header(index)
            return source[index]["label"].shape
        except UnknownLabelError:
            raise
        except PictureError:
            if on_error == "raise":
                raise
            return (0, 0)

    with futures.ThreadPoolExecutor(num_threads) as pool:
        found = list(pool.map(size, range(len(source))))
    return np.array(found, np.int32).reshape(-1, 2)


def choose(
    sizes: np.ndarray,
    *,
    max_shapes: int,
    batch_size: int = 1,
    multiple: int = MULTIPLE,
    more: int = 0,
) -> tuple[Size, ...]:
    """Finds at most `max_shapes` canvases that together hold all pictures.

    Sides are rounded up to multiples. Then, again and again, the two canvases are
    merged that add the fewest pixels to all batches, those that fill up the last batch
    of a canvas included; of what is met on this way the cheapest is taken.

    Args:
        sizes: int [N, 2], height and width.
        max_shapes: the most canvases.
        batch_size: of the global batch.
        multiple: of the sides; a power of two times it where sizes are very many.
        more: pixels that sides have beyond a multiple; 1 for networks that align
            corners, whose maps are then those of a grid of whole strides.

    Returns:
        Heights and widths, the largest area first.
    """
    if max_shapes < 1:
        raise ValueError(f"max_shapes must be at least 1, got {max_shapes}")
    if not len(sizes):
        return ()
    canvases, counts = _rounded(sizes, multiple, more)
    while len(canvases) > MOST_ROUNDED:
        multiple *= 2
        canvases, counts = _rounded(sizes, multiple, more)
    found = []
    while len(canvases):
        if len(canvases) <= max_shapes:
            found.append(_used(sizes, _by_area(canvases)))
        canvases, counts = _merged(canvases, counts, batch_size)
    return min(found, key=lambda some: _pixels_of_all(sizes, some, batch_size))


def assign(sizes: np.ndarray, canvases: Sequence[Size]) -> np.ndarray:
    """The smallest canvas that holds each picture.

    Args:
        sizes: int [N, 2].
        canvases: heights and widths.

    Returns:
        int [N], the position of the canvas; -1 where none holds the picture.
    """
    sides = np.array(canvases, np.int64).reshape(-1, 2)
    fits = np.all(sizes[:, None] <= sides, axis=2)  # [N, canvases]
    area = np.where(fits, sides.prod(axis=1), np.iinfo(np.int64).max)
    return np.where(fits.any(axis=1), np.argmin(area, axis=1), -1)


def every_size(sizes: np.ndarray) -> tuple[Size, ...]:
    """A canvas for each different size, so that nothing is padded; largest first."""
    return tuple(_by_area(sizes[sizes.any(axis=1)]))


def plan(
    sizes: np.ndarray,
    canvases: Sequence[Size],
    *,
    batch_size: int,
    name: Callable[[int], str],
) -> list[list[Place]]:
    """Global batches of one canvas each, every picture in one of them.

    Args:
        sizes: int [N, 2].
        canvases: that hold all of them; the batches of the first come first.
        batch_size: places of each batch; those left over have index -1.
        name: which file a picture is, for messages.

    Raises:
        ValueError: if a picture fits no canvas.
    """
    assigned = assign(sizes, canvases)
    if (assigned < 0).any():
        homeless = int(np.argmax(assigned < 0))
        height, width = map(int, sizes[homeless])
        raise ValueError(
            f"{name(homeless)} is {height, width} (height, width), which none of the "
            f"canvases {tuple(canvases)} holds: add a larger one to "
            "config.evals.<name>.buckets, or give only their number"
        )
    batches = []
    for i, canvas in enumerate(canvases):
        members = np.flatnonzero(assigned == i).tolist()
        for start in range(0, len(members), batch_size):
            chosen = members[start : start + batch_size]
            chosen += [-1] * (batch_size - len(chosen))
            batches.append([Place(picture, canvas) for picture in chosen])
    return batches


def _rounded(
    sizes: np.ndarray, multiple: int, more: int
) -> tuple[np.ndarray, np.ndarray]:
    """The different sizes, rounded up, and how many pictures have each."""
    times = np.maximum(-(-(sizes.astype(np.int64) - more) // multiple), 1)
    rounded = times * multiple + more
    return np.unique(rounded, axis=0, return_counts=True)


def _merged(
    canvases: np.ndarray, counts: np.ndarray, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """One canvas fewer; none after the last."""
    alone = _pixels(canvases, counts, batch_size)
    together = np.maximum(canvases[:, None], canvases)  # [K, K, 2]
    merged = _pixels(together, counts[:, None] + counts, batch_size)
    added = merged - alone[:, None] - alone
    added[np.tril_indices(len(added))] = np.iinfo(np.int64).max
    one, other = np.unravel_index(np.argmin(added), added.shape)
    canvases, counts = canvases.copy(), counts.copy()
    canvases[one] = together[one, other]
    counts[one] += counts[other]
    return np.delete(canvases, other, axis=0), np.delete(counts, other)


def _pixels(sides: np.ndarray, counts: np.ndarray, batch_size: int) -> np.ndarray:
    """Of the batches that so many pictures fill on each canvas."""
    return sides.prod(axis=-1) * (-(-counts // batch_size) * batch_size)


def _pixels_of_all(
    sizes: np.ndarray, canvases: Sequence[Size], batch_size: int
) -> tuple[int, int]:
    """Pixels of all batches, and the number of canvases to break ties."""
    counts = np.bincount(assign(sizes, canvases), minlength=len(canvases))
    pixels = _pixels(np.array(canvases), counts, batch_size)
    return int(pixels.sum()), len(canvases)


def _by_area(canvases: np.ndarray) -> list[Size]:
    """Largest first: what does not fit in memory fails at once."""
    pairs = {(int(h), int(w)) for h, w in canvases}
    return sorted(pairs, key=lambda side: (side[0] * side[1], side), reverse=True)


def _used(sizes: np.ndarray, canvases: list[Size]) -> tuple[Size, ...]:
    """Without the canvases that no picture would take."""
    return tuple(canvases[i] for i in np.unique(assign(sizes, canvases)))
