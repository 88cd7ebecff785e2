"""Eigensegments of a picture in a file, a bit for each node: `write` and `read`."""

import io
import os
from typing import NamedTuple

import numpy as np

from jaxseg.reporting import files

SUFFIX = ".npz"


class Eigensegments(NamedTuple):
    """What is stored of a picture.

    Attributes:
        masks: bool [h, w, K] at the resolution of the grid.
        size: (H, W) of the picture.
        covered: height and width of the part of the picture that the grid covers, from
            the top left.
    """

    masks: np.ndarray
    size: tuple[int, int]
    covered: tuple[int, int]


def write(path: str | os.PathLike[str], found: Eigensegments) -> None:
    """Writes a file whole or not at all; 5 masks of 32x32 nodes are 640 bytes."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        masks=np.packbits(found.masks.ravel()),
        shape=np.array(found.masks.shape, np.int32),
        size=np.array(found.size, np.int32),
        covered=np.array(found.covered, np.int32),
    )
    files.replace(path, buffer.getvalue())


def read(path: str | os.PathLike[str]) -> Eigensegments:
    """Reads what `write` has written.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else, or is damaged.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file of eigensegments {path}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            shape, packed = arrays["shape"], arrays["masks"]
            size, covered = arrays["size"].tolist(), arrays["covered"].tolist()
        bits = np.unpackbits(packed, count=int(np.prod(shape)))
        masks = bits.reshape(shape).astype(bool)
    except Exception as error:  # a damaged archive fails in many ways
        raise ValueError(
            f"{path} holds no eigensegments of jaxseg.tools.eigensegments, or is "
            f"damaged ({error}): delete it and run the tool again"
        ) from error
    return Eigensegments(masks, (size[0], size[1]), (covered[0], covered[1]))
