"""Picture files to arrays, with errors that name the file. Read `read_example` first.

OpenCV decodes and resizes pictures where it is installed, Pillow otherwise. The two
may differ by a grey level in JPEGs and by more in cubic resizing (Pillow smooths when
it shrinks), so runs to be compared bit for bit need the same one. Rotation tags (EXIF)
are ignored by both: masks carry none, and the pair must stay aligned.
"""

import functools
import io
import os
import threading
import types
import zlib
from typing import TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError

from jaxseg.data import extras
from jaxseg.data import labels as labels_lib
from jaxseg.data.source import Example, PictureError, UnknownLabelError

Picture: TypeAlias = str | os.PathLike[str] | bytes  # a file, or what is in it

_IMPORTING = threading.Lock()
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError)  # what bad files make it raise


def read_example(
    image: Picture,
    label: Picture,
    *,
    labels: labels_lib.LabelSet,
    table: np.ndarray,
    image_name: str = "",
    label_name: str = "",
) -> Example:
    """Reads a picture and its mask.

    Args:
        image: the picture, as a path or as the bytes of the file.
        label: the mask, likewise.
        labels: the classes, for messages.
        table: [65536] int16, `labels.lookup_table()`.
        image_name: what messages call the picture; its path by default.
        label_name: what messages call the mask; its path by default.

    Returns:
        image: uint8 [H, W, 3] RGB; label: uint8 [H, W] train ids, 255 unlabelled.

    Raises:
        PictureError: if one is unreadable, their sizes differ, or an id is unknown.
    """
    image_name = image_name or _name(image)
    label_name = label_name or _name(label)
    pixels = read_image(image, name=image_name)
    raw = read_label(label, name=label_name)
    if pixels.shape[:2] != raw.shape:
        raise PictureError(
            f"{image_name} is {_size(pixels)} pixels but its label {label_name} is "
            f"{_size(raw)}: they must be of the same size (width x height)"
        )
    ids = to_train_ids(raw, labels=labels, table=table, name=label_name)
    return {"image": pixels, "label": ids}


def read_image(picture: Picture, *, name: str = "") -> np.ndarray:
    """Decodes a colour picture.

    Grey is repeated, transparency dropped, 16 bits are cut to the upper 8.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        PictureError: if it is missing, cut short, damaged or no picture.
    """
    name = name or _name(picture)
    data = _read_whole(picture, name)
    cv2 = _opencv()
    if cv2 is None:
        return _image_by_pillow(data, name)
    mode = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    if pixels is None:
        raise _unreadable(name, "it cannot be decoded")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)


def read_label(picture: Picture, *, name: str = "") -> np.ndarray:
    """Decodes a mask to the ids that the file stores.

    Palette pictures give the index of each pixel and never its colour, which is why
    this is Pillow's work: OpenCV replaces indices by colours.

    Returns:
        uint8, uint16 or int32 [H, W], raw ids.

    Raises:
        PictureError: if it is unreadable, in colour, or a JPEG.
    """
    name = name or _name(picture)
    data = _read_whole(picture, name)
    if data.startswith(_JPEG):
        raise PictureError(
            f"label {name} is a JPEG, which does not keep ids exactly: use PNG"
        )
    with _opened(data, name) as file:
        if file.mode not in ("L", "P", "1", "I") and not file.mode.startswith("I;16"):
            raise PictureError(
                f"label {name} is a colour picture ({file.mode}): a label holds one "
                "class id per pixel. Save it as a grey or palette PNG whose values "
                "are ids, replacing each colour by the id of its class"
            )
        raw = _pixels(file, name)
    if raw.dtype == bool:
        return raw.astype(np.uint8)
    if data.startswith(_PNG) and file.mode == "L" and data[24] < 8:
        # Grey PNGs of 2 or 4 bits come stretched to 0..255; the file holds small ids.
        return raw // (255 // (2 ** data[24] - 1))
    return raw


def to_train_ids(
    raw: np.ndarray, *, labels: labels_lib.LabelSet, table: np.ndarray, name: str
) -> np.ndarray:
    """Looks up the train id of every pixel.

    Args:
        raw: [H, W] integer ids as stored.
        labels: the classes, for the message.
        table: [65536] int16, `labels.lookup_table()`.
        name: the file, for the message.

    Returns:
        uint8 [H, W], 255 where unlabelled.

    Raises:
        UnknownLabelError: naming the ids that are in no list.
    """
    ids = np.take(table, raw, mode="clip")
    if raw.dtype.itemsize > 2:
        ids[(raw < 0) | (raw >= len(table))] = labels_lib.UNKNOWN
    if ids.size and ids.min() < 0:
        values, counts = np.unique(raw[ids < 0], return_counts=True)
        found = ", ".join(
            f"{value} ({count} pixels)"
            for value, count in zip(values[:5], counts[:5], strict=True)
        )
        more = f" and {len(values) - 5} more" if len(values) > 5 else ""
        raise UnknownLabelError(
            f"label {name} holds ids that no class has: {found}{more}. The classes "
            f"have ids {_ranges(labels.class_raw_ids)}, unlabelled is "
            f"{_ranges(labels.ignored_raw_ids) or 'none'}: add the id to the class "
            "table (classes.json) as a class or as ignore_id, or mend the file"
        )
    return ids.astype(np.uint8)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a picture [H, W, 3] uint8 to `size` (height, width), cubic."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    cv2 = _opencv()
    if cv2 is None:
        bicubic = Image.Resampling.BICUBIC
        return np.asarray(Image.fromarray(image).resize((width, height), bicubic))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)


def resize_label(
    label: np.ndarray,
    size: tuple[int, int],
    *,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> np.ndarray:
    """Resizes a mask [H, W] to `size` (height, width), nearest pixel centre.

    Args:
        label: [H, W] ids.
        size: height and width of the whole result.
        rows: which rows of the result to compute.
        columns: which columns.

    Returns:
        the window [rows, columns] of the resized mask.
    """
    nearest = [
        ((2 * np.arange(new)[window] + 1) * old) // (2 * new)
        for old, new, window in zip(label.shape, size, (rows, columns), strict=True)
    ]
    return label[nearest[0]][:, nearest[1]]


def _opencv() -> types.ModuleType | None:
    # OpenCV's import swaps modules under way: a second thread may not look meanwhile.
    with _IMPORTING:
        return _import_opencv()


@functools.cache
def _import_opencv() -> types.ModuleType | None:
    if not extras.installed("cv2"):
        return None
    import cv2

    cv2.setNumThreads(1)  # the loaders' threads are the parallelism; more only fight
    return cv2


def _name(picture: Picture) -> str:
    return "picture" if isinstance(picture, bytes) else os.fspath(picture)


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def _unreadable(name: str, why: str) -> PictureError:
    return PictureError(
        f"cannot read {name}: {why}. Replace the file, take it out of its list, or "
        'pass over such pictures with on_error="skip"'
    )


def _read_whole(picture: Picture, name: str) -> bytes:
    """The bytes of a file, checked for an end, since decoders fill in what lacks."""
    if isinstance(picture, bytes):
        data = picture
    else:
        try:
            with open(picture, "rb") as file:
                data = file.read()
        except OSError as error:
            raise _unreadable(name, error.strerror or str(error)) from error
    if not data:
        raise _unreadable(name, "the file is empty")
    # A JPEG's last scan (ff da) is followed by an end mark (ff d9). Thumbnails have
    # both, but before the picture's own scans; inside a scan neither can occur.
    if data.startswith(_JPEG) and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise _unreadable(name, f"the file is cut short, at {len(data)} bytes")
    if data.startswith(_PNG):
        _check_png(data, name)
    return data


def _check_png(data: bytes, name: str) -> None:
    """Walks the chunks (length, type, data, checksum) to the one that ends a PNG."""
    view, start = memoryview(data), len(_PNG)
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(view[start : start + 4], "big")
        if zlib.crc32(view[start + 4 : end]) != int.from_bytes(
            view[end : end + 4], "big"
        ):
            break
        if view[start + 4 : start + 8] == b"IEND":
            return
        start = end + 4
    raise _unreadable(
        name, f"the file is cut short or damaged after byte {start} of {len(data)}"
    )


def _opened(data: bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise _unreadable(name, "it is not a picture of a known format") from error
    except _PILLOW_ERRORS as error:
        raise _unreadable(name, str(error)) from error


def _pixels(file: Image.Image, name: str) -> np.ndarray:
    try:
        return np.asarray(file)
    except _PILLOW_ERRORS as error:
        raise _unreadable(name, str(error)) from error


def _image_by_pillow(data: bytes, name: str) -> np.ndarray:
    with _opened(data, name) as file:
        if file.mode == "I" or file.mode.startswith("I;16"):
            grey = (_pixels(file, name) >> 8).astype(np.uint8)
            return np.repeat(grey[:, :, None], 3, axis=2)
        _pixels(file, name)  # decodes, so that what convert() meets is whole
        return np.asarray(file.convert("RGB"))


def _ranges(ids: tuple[int, ...]) -> str:
    """Writes 0, 1, 2, 5 as "0..2, 5"."""
    runs: list[list[int]] = []
    for i in sorted(ids):
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    return ", ".join(f"{a}" if a == b else f"{a}..{b}" for a, b in runs)
