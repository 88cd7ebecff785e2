"""Augmentation: pure functions of arrays and of a random generator.

Read `train_transform` first. It is the input pipeline of the contrast methods' common
code base for road scenes: resize, crop, flip, brightness, pad, in this order.
"""

import dataclasses
import math

import numpy as np

from jaxseg.data import labels, pictures
from jaxseg.data.source import Example

MEAN_COLOUR = (124, 116, 104)  # ImageNet's mean, RGB, as whole grey levels


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainTransform:
    """`train_transform` with its settings, checked once; called as (example, rng)."""

    crop: tuple[int, int]
    scale: tuple[float, float] = (0.5, 2.0)
    aspect: tuple[float, float] = (0.9, 1.1)
    flip: float = 0.5
    brightness: int = 10
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
        if len(self.fill) != 3 or not all(0 <= level <= 255 for level in self.fill):
            raise ValueError(f"fill is an RGB colour of 0..255, got {self.fill}")

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        settings = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return train_transform(example, rng, **settings)


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
) -> Example:
    """Augments one picture and its mask.

    Args:
        example: image uint8 [H, W, 3], label uint8 [H, W].
        rng: where all choices are drawn from, always in the same number.
        crop: height and width of the result.
        scale: the range of the factor that both sides are resized by.
        aspect: the range of a: width grows by sqrt(a), height shrinks by it.
        flip: the probability of mirroring left to right.
        brightness: the largest shift, in grey levels, one for all channels.
        fill: the colour around a picture smaller than the crop. The reference pads
            with 0 after normalising, so this is to be the mean that is subtracted.

    Returns:
        image uint8 [*crop, 3], label uint8 [*crop], 255 outside the picture.
    """
    image, label = example["image"], example["label"]
    size = resized_size(label.shape, rng.uniform(*scale), rng.uniform(*aspect))
    rows, columns = crop_window(size, crop, rng.random(2))
    # A mask is resized where it is kept only: nearest pixels do not depend on others.
    image = pictures.resize_image(image, size)[rows, columns]
    label = pictures.resize_label(label, size, rows=rows, columns=columns)
    if rng.random() < flip:
        image, label = image[:, ::-1], label[:, ::-1]
    image = shift_brightness(image, int(rng.integers(-brightness, brightness + 1)))
    where = rng.random(2)
    return {
        "image": pad(image, crop, where, fill=fill),
        "label": pad(label, crop, where, fill=labels.IGNORE),
    }


def resized_size(size: tuple[int, ...], scale: float, aspect: float) -> tuple[int, int]:
    """Height and width after scaling both sides, and their ratio by `aspect`."""
    height, width = size
    stretch = math.sqrt(aspect)
    return (
        max(int(height * scale / stretch), 1),
        max(int(width * scale * stretch), 1),
    )


def crop_window(
    size: tuple[int, int], crop: tuple[int, int], where: np.ndarray
) -> tuple[slice, slice]:
    """Rows and columns to keep: `crop`, or the whole side where that is shorter.

    Args:
        size: height and width of the picture.
        crop: height and width wanted.
        where: [2] in [0, 1), the position of the window in its range.
    """
    kept = np.minimum(size, crop)
    start = offset(np.subtract(size, kept), where)
    return slice(start[0], start[0] + kept[0]), slice(start[1], start[1] + kept[1])


def pad(
    array: np.ndarray,
    size: tuple[int, int],
    where: np.ndarray,
    *,
    fill: int | tuple[int, int, int],
) -> np.ndarray:
    """Lays an array [H, W, ...] on a larger one of one colour.

    Args:
        array: at most as large as `size`.
        size: height and width of the result.
        where: [2] in [0, 1), the position in its range; 0 is top left.
        fill: the value around it.
    """
    height, width = array.shape[:2]
    if (height, width) == tuple(size):
        return np.ascontiguousarray(array)
    top, left = offset(np.subtract(size, (height, width)), where)
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
