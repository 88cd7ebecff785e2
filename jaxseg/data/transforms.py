"""Augmentation: pure functions of arrays and of a random generator.

Read `train_transform` first. It is the input pipeline of the contrast methods' common
code base for road scenes: resize, crop, flip, brightness, pad, in this order. With
`short_side` it is theirs for photographs; with `max_class_share` and `distort` that of
SegFormer, Segmenter and MaskFormer; with `warp` nearly that of SPNet and CaGNet.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from jaxseg.data import colour_jitter, labels, pictures
from jaxseg.data.source import Example

MEAN_COLOUR = (124, 116, 104)  # ImageNet's mean, RGB, as whole grey levels
TRIES = 10  # windows drawn for `max_class_share`


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainTransform:
    """`train_transform` with its settings, checked once; called as (example, rng)."""

    crop: tuple[int, int]
    scale: tuple[float, float] = (0.5, 2.0)
    aspect: tuple[float, float] = (0.9, 1.1)
    flip: float = 0.5
    brightness: int = 10
    short_side: int = 0
    warp: tuple[int, int] | tuple[()] = ()
    max_class_share: float = 1.0
    distort: bool = False
    fill: tuple[int, int, int] = MEAN_COLOUR

    def __post_init__(self):
        if len(self.crop) != 2 or min(self.crop) < 1:
            raise ValueError(f"crop is (height, width) in pixels, got {self.crop}")
        for name in ("scale", "aspect"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(
                    f"{name} is a range (low, high), 0 < low <= high: {low, high}"
                )
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip is a probability, got {self.flip}")
        if not 0 <= self.brightness <= 255:
            raise ValueError(f"brightness is 0..255 levels, got {self.brightness}")
        if self.short_side < 0:
            raise ValueError(f"short_side is pixels or 0, got {self.short_side}")
        if self.warp and (len(self.warp) != 2 or min(self.warp) < 1):
            raise ValueError(f"warp is (height, width) in pixels or (): {self.warp}")
        if self.warp and self.short_side:
            raise ValueError("short_side and warp both size a picture: give one")
        if not 0 < self.max_class_share <= 1:
            raise ValueError(f"max_class_share is in (0, 1]: {self.max_class_share}")
        if len(self.fill) != 3 or not all(0 <= level <= 255 for level in self.fill):
            raise ValueError(f"fill is an RGB colour of 0..255, got {self.fill}")

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        settings = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return train_transform(example, rng, **settings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeferredTransform(TrainTransform):
    """Draws what `TrainTransform` would, and leaves the work to the device.

    `jaxseg.ops.augmentation` does the rest, as OpenCV resizes; a host without OpenCV
    resizes otherwise (see `pictures`), so that its pictures would differ.

    Attributes:
        canvas: height and width that all pictures fit into; the larger they are, the
            more is sent to the device.
    """

    canvas: tuple[int, int]

    def __post_init__(self):
        super().__post_init__()
        if self.distort:
            raise ValueError(
                "distort works on the host only: set config.data.augment_on='host'"
            )

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        """Lays a picture on the canvas, upper left.

        Returns:
            image uint8 [*canvas, 3], label uint8 [*canvas], size int32 [2], choices
            int32 [9] (`Choices` and the id of "unlabelled"), and what else the example
            holds.
        """
        label = example["label"]
        size, ignore = label.shape, labels.ignored_id(label.dtype)
        if any(side > room for side, room in zip(size, self.canvas, strict=True)):
            raise ValueError(
                f"a picture of {size} (height, width) does not fit data.canvas "
                f"{self.canvas}: make that as large as the largest picture"
            )
        chosen = draw(
            size,
            rng,
            crop=self.crop,
            scale=self.scale,
            aspect=self.aspect,
            flip=self.flip,
            brightness=self.brightness,
            short_side=self.short_side,
            warp=self.warp,
        )
        chosen = vary_window(
            chosen, label, rng, crop=self.crop, max_class_share=self.max_class_share
        )
        return {
            **example,
            "image": pad(example["image"], self.canvas, (0, 0), fill=self.fill),
            "label": pad(label, self.canvas, (0, 0), fill=ignore),
            "size": np.array(size, np.int32),
            "choices": np.array((*chosen, ignore), np.int32),
        }


class Choices(NamedTuple):
    """What is drawn for one picture, in pixels; `draw` makes it.

    Attributes:
        height: of the whole picture, resized.
        width: likewise.
        top: of the window that is kept of it.
        left: likewise.
        flipped: whether the window is mirrored, 0 or 1.
        shift: grey levels that are added.
        above: rows of padding over the window.
        before: columns of padding on its left.
    """

    height: int
    width: int
    top: int
    left: int
    flipped: int
    shift: int
    above: int
    before: int


def train_transform(
    example: Example,
    rng: np.random.Generator,
    *,
    crop: tuple[int, int],
    scale: tuple[float, float],
    aspect: tuple[float, float],
    flip: float,
    brightness: int,
    fill: tuple[int, int, int],
    short_side: int = 0,
    warp: tuple[int, int] | tuple[()] = (),
    max_class_share: float = 1.0,
    distort: bool = False,
) -> Example:
    """Augments one picture and its mask.

    Args:
        example: image uint8 [H, W, 3], label uint8 or uint16 [H, W]; what else it holds
            stays as it is.
        rng: where all choices are drawn from, always in the same number.
        crop: height and width of the result.
        scale: the range of the factor that both sides are resized by.
        aspect: the range of a: width grows by sqrt(a), height shrinks by it.
        flip: the probability of mirroring left to right.
        brightness: the largest shift, in grey levels, one for all channels.
        fill: the colour around a picture smaller than the crop. The reference pads
            with 0 after normalising, so this is to be the mean that is subtracted.
        short_side: what `scale` is a multiple of, in pixels; 0 for the picture's own.
        warp: height and width that `scale` is a multiple of, whatever shape the picture
            has, as SPNet's and CaGNet's code; () for the picture's own.
        max_class_share: a window of which one class has more of the labelled pixels is
            drawn again; see `vary_window`.
        distort: whether colours change as well; see `colour_jitter.distort`.

    Returns:
        image uint8 [*crop, 3], label [*crop], unlabelled outside the picture.
    """
    image, label = example["image"], example["label"]
    chosen = draw(
        label.shape,
        rng,
        crop=crop,
        scale=scale,
        aspect=aspect,
        flip=flip,
        brightness=brightness,
        short_side=short_side,
        warp=warp,
    )
    chosen = vary_window(chosen, label, rng, crop=crop, max_class_share=max_class_share)
    image, label = kept(image, label, chosen, crop)
    image = shift_brightness(image, chosen.shift)
    if distort:
        image = colour_jitter.distort(image, rng)
    start = (chosen.above, chosen.before)
    return {
        **example,
        "image": pad(image, crop, start, fill=fill),
        "label": pad(label, crop, start, fill=labels.ignored_id(label.dtype)),
    }


def draw(
    size: tuple[int, ...],
    rng: np.random.Generator,
    *,
    crop: tuple[int, int],
    scale: tuple[float, float],
    aspect: tuple[float, float],
    flip: float,
    brightness: int,
    short_side: int = 0,
    warp: tuple[int, int] | tuple[()] = (),
) -> Choices:
    """Draws all that is random in `train_transform`, whose arguments these are.

    Args:
        size: height and width of the picture.
        rng: gives as many numbers whatever the size.
        crop: see `train_transform`, as all that follow.
        scale: a range.
        aspect: a range.
        flip: a probability.
        brightness: the largest shift.
        short_side: pixels, or 0.
        warp: height and width, or ().
    """
    size = warp or size
    unit = short_side / min(size) if short_side else 1.0
    new_size = resized_size(size, unit * rng.uniform(*scale), rng.uniform(*aspect))
    kept = np.minimum(new_size, crop)
    top, left = offset(np.subtract(new_size, kept), rng.random(2))
    flipped = rng.random() < flip
    shift = rng.integers(-brightness, brightness + 1)
    above, before = offset(np.subtract(crop, kept), rng.random(2))
    numbers = (*new_size, top, left, flipped, shift, above, before)
    return Choices(*map(int, numbers))


def vary_window(
    chosen: Choices,
    label: np.ndarray,
    rng: np.random.Generator,
    *,
    crop: tuple[int, int],
    max_class_share: float,
) -> Choices:
    """Moves the window while one class has too much of it, at most `TRIES` times.

    As in the code that SegFormer and Segmenter build on, a window needs two classes,
    and the one after the last try is taken as it is.

    Args:
        chosen: with a window, that of the first try.
        label: [H, W] ids of the picture, before it is resized.
        rng: gives two numbers for each further window.
        crop: height and width of the result.
        max_class_share: of the labelled pixels; 1 leaves the window where it is.
    """
    if max_class_share == 1:
        return chosen
    size = chosen.height, chosen.width
    room = np.maximum(np.subtract(size, crop), 0)
    ignored = labels.ignored_id(label.dtype)
    for _ in range(TRIES):
        rows, columns = window(chosen, crop)
        ids = pictures.resize_label(label, size, rows=rows, columns=columns)
        counts = np.unique_counts(ids[ids != ignored]).counts
        if len(counts) > 1 and counts.max() < max_class_share * counts.sum():
            break
        top, left = offset(room, rng.random(2))
        chosen = chosen._replace(top=int(top), left=int(left))
    return chosen


def kept(
    image: np.ndarray, label: np.ndarray, chosen: Choices, crop: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The chosen window of a picture and of its mask, resized, maybe mirrored."""
    size = chosen.height, chosen.width
    rows, columns = window(chosen, crop)
    # A mask is resized where it is kept only: nearest pixels do not depend on others.
    image = pictures.resize_image(image, size)[rows, columns]
    label = pictures.resize_label(label, size, rows=rows, columns=columns)
    if chosen.flipped:
        return image[:, ::-1], label[:, ::-1]
    return image, label


def window(chosen: Choices, crop: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of the resized picture that are kept."""
    rows, columns = (
        slice(start, start + min(side, wanted))
        for start, side, wanted in zip(
            (chosen.top, chosen.left), (chosen.height, chosen.width), crop, strict=True
        )
    )
    return rows, columns


def resized_size(size: tuple[int, ...], scale: float, aspect: float) -> tuple[int, int]:
    """Height and width after scaling both sides, and their ratio by `aspect`."""
    height, width = size
    stretch = math.sqrt(aspect)
    return (
        max(int(height * scale / stretch), 1),
        max(int(width * scale * stretch), 1),
    )


def pad(
    array: np.ndarray,
    size: tuple[int, int],
    start: tuple[int, int],
    *,
    fill: int | tuple[int, int, int],
) -> np.ndarray:
    """Lays an array [H, W, ...] on a larger one of one colour.

    Args:
        array: at most as large as `size`.
        size: height and width of the result.
        start: its row and column there.
        fill: the value around it.
    """
    height, width = array.shape[:2]
    if (height, width) == tuple(size):
        return np.ascontiguousarray(array)
    top, left = start
    padded = np.empty((*size, *array.shape[2:]), array.dtype)
    padded[:] = fill
    padded[top : top + height, left : left + width] = array
    return padded


def offset(room: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Turns `where` in [0, 1) into whole offsets 0..room, all equally likely."""
    return (where * (room + 1)).astype(int)


def shift_brightness(image: np.ndarray, shift: int) -> np.ndarray:
    """Adds `shift` grey levels to a uint8 picture, staying within 0..255."""
    table = np.clip(np.arange(256) + shift, 0, 255).astype(np.uint8)
    return np.take(table, image)
