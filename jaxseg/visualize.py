"""Class ids as colours, and pictures that show what a network gets wrong.

`panel` makes the picture of an evaluation: image | truth | prediction | error, with a
legend. Everything is uint8 RGB on the host; Pillow draws the words.
"""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jaxseg.data.labels import IGNORE, LabelSet

VOID = (0, 0, 0)  # of unlabelled pixels
WRONG = (235, 32, 48)
RIGHT, LEFT_OUT = (201, 201, 201), (26, 26, 26)  # as `error_map` shows mid-grey
PAPER, INK, FAINT = (255, 255, 255), (32, 34, 38), (150, 153, 160)
GAP, LINE, SWATCH = 8, 22, 14  # pixels: between tiles, a line of text, a legend square
ERROR_LEGEND = (("right", RIGHT), ("wrong", WRONG), ("unlabelled", LEFT_OUT))
CAPTIONS = ("image", "truth", "prediction", "error")


def colorize(label: np.ndarray, labels: LabelSet) -> np.ndarray:
    """Paints class ids in the colours of their classes.

    Args:
        label: [..., H, W] integer train ids; ids outside the classes become black.
        labels: the classes.

    Returns:
        [..., H, W, 3] uint8.
    """
    label = np.asarray(label).astype(np.int64)
    colours = np.array([*labels.palette, VOID], np.uint8)
    known = (label >= 0) & (label < labels.num_classes)
    return colours[np.where(known, label, labels.num_classes)]


def overlay(
    image: np.ndarray, label: np.ndarray, labels: LabelSet, *, opacity: float = 0.55
) -> np.ndarray:
    """Lays class colours over an image; unlabelled pixels show the image alone.

    Args:
        image: [H, W, 3] uint8.
        label: [H, W] integer train ids.
        labels: the classes.
        opacity: 0 shows the image, 1 the colours.

    Returns:
        [H, W, 3] uint8.
    """
    label = np.asarray(label)
    known = ((label >= 0) & (label < labels.num_classes))[..., None]
    mixed = (1 - opacity) * image + opacity * colorize(label, labels)
    return np.where(known, mixed.round(), image).astype(np.uint8)


def error_map(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, *, num_classes: int
) -> np.ndarray:
    """Marks wrong pixels red on a pale grey image; unlabelled ones are nearly black.

    `ERROR_LEGEND` names the three.

    Args:
        image: [H, W, 3] uint8.
        truth: [H, W] integer train ids; ids outside the classes count as unlabelled.
        prediction: [H, W] integer train ids.
        num_classes: C.

    Returns:
        [H, W, 3] uint8.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    labelled = (truth >= 0) & (truth < num_classes)
    grey = image.mean(axis=-1, keepdims=True)
    right = 150 + 0.4 * grey
    wrong = 0.88 * np.array(WRONG) + 0.12 * grey
    shown = np.where((truth != prediction)[..., None], wrong, right)
    return np.where(labelled[..., None], shown, 0.2 * grey).astype(np.uint8)


def panel(
    image: np.ndarray | Sequence[np.ndarray],
    truth: np.ndarray | Sequence[np.ndarray],
    prediction: np.ndarray | Sequence[np.ndarray],
    labels: LabelSet,
    *,
    tile_width: int = 320,
    only_present: bool = True,
) -> np.ndarray:
    """Draws image | truth | prediction | error, one row per example, and a legend.

    Args:
        image: uint8 [H, W, 3], or a batch or list of such; sizes may differ.
        truth: integer train ids [H, W], alike.
        prediction: integer train ids [H, W], alike.
        labels: the classes.
        tile_width: width in pixels that every tile is scaled to.
        only_present: the legend lists the classes in these pictures, otherwise all.

    Returns:
        [H', W', 3] uint8, the whole sheet.

    Raises:
        ValueError: if an image is not uint8 RGB of the size of its labels.
    """
    single = np.ndim(image[0]) == 2
    images, truths, predictions = (
        [np.asarray(x) for x in ([group] if single else group)]
        for group in (image, truth, prediction)
    )
    rows = [
        _row(*example, labels, tile_width)
        for example in zip(images, truths, predictions, strict=True)
    ]
    ids = np.unique(np.concatenate([x.ravel() for x in (*truths, *predictions)]))
    legend = _legend(
        labels,
        [c for c in range(labels.num_classes) if c in ids or not only_present],
        void=any(not 0 <= i < labels.num_classes for i in ids),
        width=rows[0].width,
    )
    return np.asarray(_stack([_captions(tile_width), *rows, legend]))


def save_picture(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    """Writes a picture uint8 [H, W, 3]; the suffix of the path says the format."""
    Image.fromarray(picture).save(path)


def save_mask(
    path: str | os.PathLike[str], label: np.ndarray, labels: LabelSet
) -> None:
    """Writes class ids as a PNG that reads back as ids and looks like `colorize`.

    A palette ends at 256 colours: ids of larger sets of classes become a grey PNG of 16
    bits, which reads back alike and shows nothing.

    Args:
        path: ends in .png.
        label: [H, W] integer train ids, 255 for unlabelled.
        labels: the classes.

    Raises:
        ValueError: if an id does not fit the file.
    """
    label = np.asarray(label)
    small = labels.num_classes <= IGNORE
    largest = 255 if small else 65535
    if label.size and not 0 <= label.min() <= label.max() <= largest:
        raise ValueError(
            f"ids {label.min()}..{label.max()} do not fit a mask of "
            f"{labels.num_classes} classes (0..{largest}): {os.fspath(path)}"
        )
    if not small:
        Image.fromarray(label.astype(np.uint16)).save(path)
        return
    palette = np.zeros((256, 3), np.uint8)
    palette[: labels.num_classes] = labels.palette
    palette[IGNORE] = VOID
    mask = Image.fromarray(label.astype(np.uint8)).convert("P")
    mask.putpalette(palette.tobytes())
    mask.save(path)


def _row(
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    labels: LabelSet,
    width: int,
) -> Image.Image:
    """Draws the four tiles of one example beside each other."""
    if image.dtype != np.uint8 or image.shape[2:] != (3,):
        raise ValueError(f"need uint8 [H, W, 3], got {image.dtype} {image.shape}")
    if not image.shape[:2] == np.shape(truth) == np.shape(prediction):
        raise ValueError(
            f"image {image.shape}, truth {np.shape(truth)} and prediction "
            f"{np.shape(prediction)} are not of one size"
        )
    height = max(1, round(width * image.shape[0] / image.shape[1]))
    flat = Image.Resampling.NEAREST  # no colours between classes
    error = error_map(image, truth, prediction, num_classes=labels.num_classes)
    tiles = (
        Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC),
        Image.fromarray(colorize(truth, labels)).resize((width, height), flat),
        Image.fromarray(colorize(prediction, labels)).resize((width, height), flat),
        Image.fromarray(error).resize((width, height), flat),
    )
    row = Image.new("RGB", (4 * width + 3 * GAP, height), PAPER)
    for i, tile in enumerate(tiles):
        row.paste(tile, (i * (width + GAP), 0))
    return row


def _captions(width: int) -> Image.Image:
    line = Image.new("RGB", (4 * width + 3 * GAP, LINE), PAPER)
    draw = ImageDraw.Draw(line)
    for i, caption in enumerate(CAPTIONS):
        left = i * (width + GAP)
        _write(draw, left, 0, caption)
    return line


def _legend(
    labels: LabelSet, classes: Sequence[int], *, void: bool, width: int
) -> Image.Image:
    """Draws squares with names, as many to a line as fit."""
    entries = [(labels.names[c], labels.palette[c]) for c in classes]
    entries += [("unlabelled", VOID)] if void else []
    entries += [("right", RIGHT), ("wrong", WRONG)]
    places, left, line = [], 0, 0
    for name, _ in entries:
        length = SWATCH + 6 + round(_font().getlength(name))
        if left and left + length > width:
            left, line = 0, line + 1
        places.append((left, line * LINE))
        left += length + 2 * GAP
    picture = Image.new("RGB", (width, (line + 1) * LINE), PAPER)
    draw = ImageDraw.Draw(picture)
    for (name, colour), (left, top) in zip(entries, places, strict=True):
        square = top + (LINE - SWATCH) // 2
        box = (left, square, left + SWATCH - 1, square + SWATCH - 1)
        draw.rectangle(box, fill=tuple(colour), outline=FAINT)
        _write(draw, left + SWATCH + 6, top, name)
    return picture


def _stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Puts pictures below each other, with a margin around all."""
    width = max(picture.width for picture in pictures)
    height = sum(picture.height + GAP for picture in pictures)
    sheet = Image.new("RGB", (width + 2 * GAP, height + GAP), PAPER)
    top = GAP
    for picture in pictures:
        sheet.paste(picture, (GAP, top))
        top += picture.height + GAP
    return sheet


def _write(draw: ImageDraw.ImageDraw, left: int, top: int, text: str) -> None:
    draw.text((left, top + LINE // 2), text, fill=INK, font=_font(), anchor="lm")


def _font() -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=14)
    assert isinstance(font, ImageFont.FreeTypeFont)  # any Pillow wheel has FreeType
    return font
