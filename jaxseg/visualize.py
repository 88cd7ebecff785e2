"""Class ids as colours, and pictures that show what a network gets wrong.

`panel` makes the picture of an evaluation: image | truth | prediction | error, with a
legend; `comparison` shows several networks' predictions beside each other, `shares`
which of a few things each position uses. Everything is uint8 RGB on the host; Pillow
draws the words.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TypeAlias

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
# Of shares: far apart in hue and of like lightness, also to the colour-blind.
SHARES = ((213, 94, 0), (0, 158, 115), (86, 130, 233), (204, 121, 167), (200, 170, 40))
Entry: TypeAlias = tuple[str, tuple[int, int, int]]  # of a legend: name and colour


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
    shown = ids if only_present else np.union1d(ids, np.arange(labels.num_classes))
    entries = [*_classes(labels, shown), ("right", RIGHT), ("wrong", WRONG)]
    legend = _legend(entries, width=rows[0].width)
    return np.asarray(_stack([_captions(CAPTIONS, tile_width), *rows, legend]))


def comparison(
    images: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    predictions: Mapping[str, Sequence[np.ndarray]],
    labels: LabelSet,
    *,
    tile_width: int = 320,
) -> np.ndarray:
    """Draws image | truth | a tile for each of the predictions, a row per example.

    Args:
        images: uint8 [H, W, 3] each; sizes may differ.
        truths: integer train ids [H, W] each.
        predictions: by caption, integer train ids [H, W] each; {} shows the truth only.
        labels: the classes.
        tile_width: width in pixels that every tile is scaled to.

    Returns:
        [H', W', 3] uint8, with a legend of the classes in these pictures.

    Raises:
        ValueError: if an image is not uint8 RGB of the size of its labels.
    """
    columns = [truths, *predictions.values()]
    rows = [
        _tiles(
            image, *(_painted(image, mask, labels) for mask in masks), width=tile_width
        )
        for image, *masks in zip(images, *columns, strict=True)
    ]
    ids = np.unique(np.concatenate([np.ravel(x) for group in columns for x in group]))
    legend = _legend(_classes(labels, ids), width=rows[0].width)
    captions = _captions((*CAPTIONS[:2], *predictions), tile_width)
    return np.asarray(_stack([captions, *rows, legend]))


def sheet(
    rows: Sequence[Sequence[np.ndarray]],
    captions: Sequence[Sequence[str]],
    *,
    tile_width: int = 240,
) -> np.ndarray:
    """Lays pictures beside and below each other, each with a word above it.

    Args:
        rows: of pictures uint8 [H, W, 3]; the first of a row says its height.
        captions: a word for each.
        tile_width: width in pixels that every picture is scaled to.

    Returns:
        [H', W', 3] uint8.
    """
    parts = []
    for pictures, words in zip(rows, captions, strict=True):
        parts.append(_captions(words, tile_width))
        parts.append(_tiles(*pictures, width=tile_width))
    return np.asarray(_stack(parts))


def mixed(weights: np.ndarray, *, gain: float = 1.0) -> np.ndarray:
    """Mixes one colour each for a few things by how much each counts.

    Args:
        weights: [..., S] not negative; only their shares of the sum are shown, equal
            ones where all are 0.
        gain: stretches the shares' distances from 1 / S, to see small ones.

    Returns:
        [..., 3] uint8.

    Raises:
        ValueError: if there are more things than colours.
    """
    count = weights.shape[-1]
    if count > len(SHARES):
        raise ValueError(f"{count} shares, and only {len(SHARES)} colours for them")
    total = weights.sum(axis=-1, keepdims=True)
    share = np.where(total > 0, weights / np.where(total > 0, total, 1), 1 / count)
    stretched = np.clip(1 / count + gain * (share - 1 / count), 0, None)
    stretched = stretched / stretched.sum(axis=-1, keepdims=True)
    return (stretched @ np.array(SHARES[:count], float)).round().astype(np.uint8)


def shares(
    images: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    tile_width: int = 320,
) -> np.ndarray:
    """Draws image | the mixture of colours at each position, a row per example.

    The shares' distances from equal ones are stretched until the largest fills the
    scale; the legend says how much.

    Args:
        images: uint8 [H, W, 3] each; sizes may differ.
        weights: [h, w, S] each, not negative, of any size: of the whole image.
        names: of the S things.
        tile_width: width in pixels that every tile is scaled to.

    Returns:
        [H', W', 3] uint8, with a legend.
    """
    count = len(names)
    distance = max(_distance_from_equal(w) for w in weights)
    gain = (1 - 1 / count) / distance if distance > 0 else 1.0
    rows = []
    for image, weight in zip(images, weights, strict=True):
        colours = Image.fromarray(mixed(weight, gain=gain))
        size = image.shape[1], image.shape[0]
        enlarged = colours.resize(size, Image.Resampling.NEAREST)
        rows.append(_tiles(image, np.asarray(enlarged), width=tile_width))
    entries = [*zip(names, SHARES, strict=False)]
    note = f"distances from equal shares x {gain:.1f}"
    legend = _legend([*entries, (note, PAPER)], width=rows[0].width)
    captions = _captions(("image", "shares"), tile_width)
    return np.asarray(_stack([captions, *rows, legend]))


def _distance_from_equal(weights: np.ndarray) -> float:
    """How far the largest share of a map [h, w, S] is from 1 / S."""
    total = weights.sum(axis=-1, keepdims=True)
    share = weights / np.where(total > 0, total, 1)
    return float(np.max(np.where(total > 0, share, 0)) - 1 / weights.shape[-1])


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
    painted = [_painted(image, mask, labels) for mask in (truth, prediction)]
    error = error_map(image, truth, prediction, num_classes=labels.num_classes)
    return _tiles(image, *painted, error, width=width)


def _painted(image: np.ndarray, mask: np.ndarray, labels: LabelSet) -> np.ndarray:
    """The colours of a mask, which must be of its image's size."""
    if image.dtype != np.uint8 or image.shape[2:] != (3,):
        raise ValueError(f"need uint8 [H, W, 3], got {image.dtype} {image.shape}")
    if image.shape[:2] != np.shape(mask):
        raise ValueError(
            f"image {image.shape} and its mask {np.shape(mask)} are not of one size"
        )
    return colorize(mask, labels)


def _tiles(image: np.ndarray, *flat: np.ndarray, width: int) -> Image.Image:
    """Scales an image and flat colours of its size, and puts them beside each other."""
    height = max(1, round(width * image.shape[0] / image.shape[1]))
    row = Image.new("RGB", (_row_width(1 + len(flat), width), height), PAPER)
    for i, picture in enumerate((image, *flat)):
        # No colours between classes.
        kind = Image.Resampling.NEAREST if i else Image.Resampling.BICUBIC
        tile = Image.fromarray(picture).resize((width, height), kind)
        row.paste(tile, (i * (width + GAP), 0))
    return row


def _row_width(num_tiles: int, width: int) -> int:
    return num_tiles * (width + GAP) - GAP


def _captions(captions: Sequence[str], width: int) -> Image.Image:
    line = Image.new("RGB", (_row_width(len(captions), width), LINE), PAPER)
    draw = ImageDraw.Draw(line)
    for i, caption in enumerate(captions):
        _write(draw, i * (width + GAP), 0, caption)
    return line


def _classes(labels: LabelSet, ids: np.ndarray) -> list[Entry]:
    """The names and colours of class ids, void last if there is any."""
    known = [c for c in range(labels.num_classes) if c in ids]
    unseen = {c: " (unseen)" for c in labels.unseen}
    entries = [(labels.names[c] + unseen.get(c, ""), labels.palette[c]) for c in known]
    return entries + ([("unlabelled", VOID)] if len(known) < len(ids) else [])


def _legend(entries: Sequence[Entry], *, width: int) -> Image.Image:
    """Draws squares with names, as many to a line as fit."""
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
