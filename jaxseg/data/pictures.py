"""Picture files to arrays, with errors that name the file. Read `read_example` first.

OpenCV decodes and resizes pictures where it is installed, Pillow otherwise. The two
may differ by a grey level in JPEGs and by more in cubic resizing (Pillow smooths when
it shrinks), so runs to be compared bit for bit need the same one.

Rotation tags (EXIF) of photographs say how a viewer turns the stored pixels. Masks
carry none, so the mask decides: where it has the size of the turned picture the
picture is turned, where it has the stored size it stays as stored. A tag that keeps
the size (mirrored, upside down, or a square) shows nothing of what the mask was drawn
on; such pictures stay as stored, and `jaxseg.tools.check_data` names them.
"""

import collections
import functools
import threading
import types
from collections.abc import Collection

import numpy as np
from PIL import Image

from jaxseg.data import extras, mask_colours
from jaxseg.data import labels as labels_lib
from jaxseg.data.picture_files import (
    JPEG,
    PNG,
    Picture,
    name_of,
    opened,
    orientation,
    pixels,
    read_whole,
    turned,
    unreadable,
)
from jaxseg.data.source import Example, PictureError, UnknownLabelError

_IMPORTING = threading.Lock()


def read_example(
    image: Picture,
    label: Picture,
    *,
    labels: labels_lib.LabelSet,
    table: np.ndarray,
    colours: mask_colours.ColourTable | None = None,
    image_name: str = "",
    label_name: str = "",
) -> Example:
    """Reads a picture and its mask.

    Args:
        image: the picture, as a path or as the bytes of the file.
        label: the mask, likewise.
        labels: the classes, for messages.
        table: [65536], `labels.lookup_table()`.
        colours: the classes of colours, for a mask of colours instead of ids.
        image_name: what messages call the picture; its path by default.
        label_name: what messages call the mask; its path by default.

    Returns:
        image: uint8 [H, W, 3] RGB; label: [H, W] train ids, see `source.Source`.

    Raises:
        PictureError: if one is unreadable, their sizes differ, or an id is unknown.
    """
    image_name = image_name or name_of(image)
    label_name = label_name or name_of(label)
    shown = read_image(image, name=image_name)
    ids = read_mask(label, labels=labels, table=table, colours=colours, name=label_name)
    shown = turned_like(shown, ids.shape, image)
    if shown.shape[:2] != ids.shape:
        raise PictureError(
            f"{image_name} is {_size(shown)} pixels but its label {label_name} is "
            f"{_size(ids)}: they must be of the same size (width x height)"
        )
    return {"image": shown, "label": ids}


def read_mask(
    picture: Picture,
    *,
    labels: labels_lib.LabelSet,
    table: np.ndarray,
    colours: mask_colours.ColourTable | None = None,
    name: str = "",
) -> np.ndarray:
    """Reads a mask as train ids, uint8 [H, W]; see `read_example`."""
    name = name or name_of(picture)
    if colours is not None:
        return colours.train_ids_of(read_colours(picture, name=name), name=name)
    raw = read_label(picture, name=name)
    return to_train_ids(raw, labels=labels, table=table, name=name)


def read_image(picture: Picture, *, name: str = "") -> np.ndarray:
    """Decodes a colour picture as stored, whatever its rotation tag says.

    Grey is repeated, transparency dropped, 16 bits are cut to the upper 8, and CMYK is
    converted without a colour profile.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        PictureError: if it is missing, cut short, damaged, no picture, of real numbers,
            or of more than `picture_files.MAX_PIXELS`.
    """
    name = name or name_of(picture)
    data = read_whole(picture, name)
    with opened(data, name) as file:
        if file.mode == "F":
            raise unreadable(
                name, "its pixels are real numbers, of which none says what is white"
            )
        cv2 = _opencv()
        if cv2 is None:
            return _image_by_pillow(file, name)
    mode = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    if decoded is None:
        raise unreadable(name, "it cannot be decoded")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=decoded)


def turned_like(
    image: np.ndarray, size: tuple[int, ...], picture: Picture
) -> np.ndarray:
    """Turns a picture whose tag asks for it and makes it as large as its mask.

    Args:
        image: [H, W, 3], as stored.
        size: height and width of the mask.
        picture: where the image is from.

    Returns:
        the image, turned if that gives it `size` and it has another as stored.
    """
    if image.shape[:2] in (size, size[::-1]) and image.shape[:2] != size:
        data = read_whole(picture, name_of(picture))
        with opened(data, name_of(picture)) as file:
            tag = orientation(file)
        if tag >= 5:  # those that exchange height and width
            return np.ascontiguousarray(turned(image, tag))
    return image


def read_label(picture: Picture, *, name: str = "") -> np.ndarray:
    """Decodes a mask to the ids that the file stores.

    Palette pictures give the index of each pixel and never its colour, which is why
    this is Pillow's work: OpenCV replaces indices by colours.

    Returns:
        uint8, uint16 or int32 [H, W], raw ids.

    Raises:
        PictureError: if it is unreadable, in colour, or a JPEG.
    """
    name = name or name_of(picture)
    data = _lossless(picture, name)
    with opened(data, name) as file:
        if not holds_ids(file):
            raise PictureError(
                f"label {name} is a colour picture ({file.mode}): a label holds one "
                "class id per pixel. Save it as a grey or palette PNG whose values "
                "are ids; or give the rgb of each class in classes.json and set "
                'config.data.masks="rgb"'
            )
        raw = pixels(file, name)
    if raw.dtype == bool:
        return raw.astype(np.uint8)
    if data.startswith(PNG) and file.mode == "L" and data[24] < 8:
        # Grey PNGs of 2 or 4 bits come stretched to 0..255; the file holds small ids.
        return raw // (255 // (2 ** data[24] - 1))
    return raw


def holds_ids(file: Image.Image) -> bool:
    """Whether the pixels of an open file are whole numbers, not colours."""
    return file.mode in ("L", "P", "1", "I") or file.mode.startswith("I;16")


def read_colours(picture: Picture, *, name: str = "") -> np.ndarray:
    """Decodes a mask to the colours that it shows; transparency is dropped.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        PictureError: if it is unreadable, a JPEG, or of more than 8 bits.
    """
    name = name or name_of(picture)
    with opened(_lossless(picture, name), name) as file:
        if file.mode in ("I", "F") or file.mode.startswith("I;16"):
            raise PictureError(
                f"label {name} is no picture of colours ({file.mode}): for masks of "
                'class ids set config.data.masks="ids"'
            )
        return _image_by_pillow(file, name)


def _lossless(picture: Picture, name: str) -> bytes:
    data = read_whole(picture, name)
    if data.startswith(JPEG):
        raise PictureError(
            f"label {name} is a JPEG, which does not keep ids exactly: use PNG"
        )
    return data


def to_train_ids(
    raw: np.ndarray, *, labels: labels_lib.LabelSet, table: np.ndarray, name: str
) -> np.ndarray:
    """Looks up the train id of every pixel.

    Args:
        raw: [H, W] integer ids as stored.
        labels: the classes, for the message.
        table: [65536], `labels.lookup_table()`.
        name: the file, for the message.

    Returns:
        [H, W] of `labels.dtype`, `labels.ignore` where unlabelled: uint8 and 255 up to
        254 classes.

    Raises:
        UnknownLabelError: naming the ids that are in no list.
    """
    ids = np.empty(raw.shape, labels.dtype)
    unknown: collections.Counter[int] = collections.Counter()
    for rows in mask_colours.row_blocks(*raw.shape):
        block = raw[rows]
        found = np.take(table, block, mode="clip")
        if raw.dtype.itemsize > 2:
            found[(block < 0) | (block >= len(table))] = labels_lib.UNKNOWN
        if found.size and found.min() < 0:
            values, counts = np.unique(block[found < 0], return_counts=True)
            unknown.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        ids[rows] = found
    if unknown:
        raise UnknownLabelError(_unknown_ids(name, unknown, labels))
    return ids


def _unknown_ids(
    name: str, unknown: "collections.Counter[int]", labels: labels_lib.LabelSet
) -> str:
    values = sorted(unknown)
    found = ", ".join(f"{value} ({unknown[value]} pixels)" for value in values[:5])
    more = f" and {len(values) - 5} more" if len(values) > 5 else ""
    return (
        f"label {name} holds ids that no class has: {found}{more}. The classes "
        f"have ids {id_ranges(labels.class_raw_ids)}, unlabelled is "
        f"{id_ranges(labels.ignored_raw_ids) or 'none'}: add the id to the class "
        "table (classes.json), or leave such pixels unlabelled by "
        f"config.data.ignore_id={tuple(values[:5])}, or all unknown ids by "
        'config.data.unknown="ignore"'
    )


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


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


def _image_by_pillow(file: Image.Image, name: str) -> np.ndarray:
    if file.mode == "I" or file.mode.startswith("I;16"):
        grey = (pixels(file, name) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if file.mode == "RGB":
        return pixels(file, name)
    pixels(file, name)  # decodes, so that what convert() meets is whole
    return np.asarray(file.convert("RGB"))


def id_ranges(ids: Collection[int]) -> str:
    """Writes 0, 1, 2, 5 as "0..2, 5"."""
    runs: list[list[int]] = []
    for i in sorted(ids):
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    return ", ".join(f"{a}" if a == b else f"{a}..{b}" for a, b in runs)
