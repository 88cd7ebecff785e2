"""What is checked of a picture file before and while it is decoded.

Read `read_whole` first. `pictures` decodes; this module knows the formats.
"""

import functools
import io
import os
import zlib
from typing import BinaryIO, TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError

from jaxseg.data.source import PictureError

Picture: TypeAlias = str | os.PathLike[str] | bytes  # a file, or what is in it

# 16384 x 16384: 800 MB of RGB. Beyond, the copies that decoding and augmentation make
# of a picture no longer fit beside each other in the memory of an ordinary machine.
MAX_PIXELS = 2**28

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
_ORIENTATION = 0x0112  # the tag
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError)  # what bad files make it raise


def read_whole(picture: Picture, name: str) -> bytes:
    """The bytes of a file, checked for an end, since decoders fill in what lacks.

    Raises:
        PictureError: if it is missing, empty, cut short or of more than `MAX_PIXELS`.
    """
    if isinstance(picture, bytes):
        data = picture
    else:
        try:
            with open(picture, "rb") as file:
                data = file.read()
        except OSError as error:
            raise unreadable(name, error.strerror or str(error)) from error
    if not data:
        raise unreadable(name, "the file is empty")
    # A JPEG's last scan (ff da) is followed by an end mark (ff d9). Thumbnails have
    # both, but before the picture's own scans; inside a scan neither can occur.
    if data.startswith(JPEG) and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise unreadable(name, f"the file is cut short, at {len(data)} bytes")
    if data.startswith(PNG):
        _check_png(data, name)
    return data


def opened(data: bytes | BinaryIO, name: str) -> Image.Image:
    """Reads the header of a picture, of its bytes or of an open file.

    Raises:
        PictureError: if it has none, or is of more than `MAX_PIXELS`.
    """
    _allow_large_pictures()
    try:
        file = Image.open(io.BytesIO(data) if isinstance(data, bytes) else data)
    except UnidentifiedImageError as error:
        raise unreadable(name, "it is not a picture of a known format") from error
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from error
    except _PILLOW_ERRORS as error:
        raise unreadable(name, str(error)) from error
    width, height = file.size
    if width * height > MAX_PIXELS:
        raise _too_large(name, f"{width}x{height} pixels")
    return file


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width of a picture as it is decoded, from its header.

    Raises:
        PictureError: if it is missing or has none.
    """
    name = name_of(path)
    try:
        with open(path, "rb") as data, opened(data, name) as file:
            return file.height, file.width
    except OSError as error:
        raise unreadable(name, error.strerror or str(error)) from error


def pixels(file: Image.Image, name: str) -> np.ndarray:
    """Decodes an open file as it is stored.

    Raises:
        PictureError: if it is cut short or damaged.
    """
    try:
        return np.asarray(file)
    except _PILLOW_ERRORS as error:
        raise unreadable(name, str(error)) from error


def orientation(file: Image.Image) -> int:
    """The rotation tag (EXIF) of an open file, 1..8; 1, upright, if it has none.

    TIFF pictures are always 1: the tag belongs to that format, and both decoders obey.
    """
    if file.format == "TIFF":
        return 1
    try:
        tag = file.getexif().get(_ORIENTATION, 1)
    except _PILLOW_ERRORS:  # a damaged tag turns nothing
        return 1
    return tag if tag in range(1, 9) else 1


def turned(image: np.ndarray, tag: int) -> np.ndarray:
    """Turns pixels [H, W, ...] as a rotation tag says, for a viewer to see upright."""
    if tag in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    flip_rows, flip_columns = tag in (3, 4, 7, 8), tag in (2, 3, 6, 7)
    return image[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def name_of(picture: Picture) -> str:
    """What messages call a picture: its path."""
    return "picture" if isinstance(picture, bytes) else os.fspath(picture)


def unreadable(name: str, why: str) -> PictureError:
    """The error for a file that gives no pixels."""
    return PictureError(
        f"cannot read {name}: {why}. Replace the file, take it out of its list, or "
        'pass over such pictures with on_error="skip"'
    )


def _too_large(name: str, size: str) -> PictureError:
    return PictureError(
        f"{name} is too large to train on as it is ({size}; the limit is {MAX_PIXELS} "
        "pixels, 16384x16384): cut it and its mask into tiles"
    )


@functools.cache
def _allow_large_pictures() -> None:
    """Raises Pillow's limit of 89 million pixels, made for web servers, to ours.

    A user who has lifted it (None) or set a higher one keeps that.
    """
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS)


def _check_png(data: bytes, name: str) -> None:
    """Walks the chunks (length, type, data, checksum) to the one that ends a PNG."""
    view, start = memoryview(data), len(PNG)
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(view[start : start + 4], "big")
        if zlib.crc32(view[start + 4 : end]) != int.from_bytes(
            view[end : end + 4], "big"
        ):
            break
        if view[start + 4 : start + 8] == b"IEND":
            return
        start = end + 4
    raise unreadable(
        name, f"the file is cut short or damaged after byte {start} of {len(data)}"
    )
