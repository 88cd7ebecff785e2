"""Pictures that are in two splits, as they are or encoded anew."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

HASH_SIDE = 16
# Of 256 bits. Of pictures saved anew as JPEG, or at half the size, 19 in 20 differ in
# fewer; no two of the different photographs and video frames tried did in 60.
MAX_DISTANCE = 20
MIN_CONTRAST = 4.0  # grey levels; the differences within a flatter picture are noise
_BLOCK = 2**22  # pairs that are compared at once


class Twins(NamedTuple):
    """Two pictures that are the same, by index in two sequences."""

    first: int
    second: int


def fingerprint(image: np.ndarray) -> np.ndarray | None:
    """A perceptual hash: where a small grey copy gets brighter from left to right.

    It hardly changes when a picture is saved anew, resized or made brighter ("dHash").

    Args:
        image: uint8 [H, W, 3].

    Returns:
        uint64 [4], 256 bits; None for a picture of next to one colour.
    """
    size = (HASH_SIDE + 1, HASH_SIDE)
    grey = Image.fromarray(image).convert("L")
    small = np.asarray(grey.resize(size, Image.Resampling.BOX), np.int16)
    if small.std() < MIN_CONTRAST:
        return None
    bits = np.diff(small, axis=1) > 0  # [16, 16]
    return np.packbits(bits).view(np.uint64)


def near(
    first: Sequence[np.ndarray | None],
    second: Sequence[np.ndarray | None],
    *,
    max_distance: int = MAX_DISTANCE,
) -> Iterator[Twins]:
    """Finds pictures whose fingerprints differ in few bits.

    Args:
        first: fingerprints.
        second: fingerprints to compare each of them with.
        max_distance: bits that may differ.
    """
    rows = {i: bits for i, bits in enumerate(first) if bits is not None}
    columns = {i: bits for i, bits in enumerate(second) if bits is not None}
    if not rows or not columns:
        return
    places = list(rows), list(columns)
    ours, theirs = np.stack([*rows.values()]), np.stack([*columns.values()])
    step = max(1, _BLOCK // len(columns))
    for start in range(0, len(rows), step):
        differing = ours[start : start + step, None] ^ theirs[None]  # [A, M, 4]
        distance = np.bitwise_count(differing).sum(axis=-1, dtype=np.int32)
        for i, j in np.argwhere(distance <= max_distance):
            yield Twins(places[0][start + i], places[1][j])


def same(first: Sequence[bytes], second: Sequence[bytes]) -> Iterator[Twins]:
    """Finds pictures whose decoded pixels are equal, by their digests."""
    places: Mapping[bytes, int] = {digest: i for i, digest in enumerate(first)}
    for j, digest in enumerate(second):
        if digest in places:
            yield Twins(places[digest], j)
