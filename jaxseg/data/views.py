"""Several crops of one picture, for learning without labels. Read `MultiCrop` first.

The views of PASS (Gao et al., TPAMI 2022), which are those of SwAV (Caron et al.,
NeurIPS 2020) with the rectangles of the large crops kept, so that the pixels of two
crops can be aligned.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from jaxseg.data import colour_jitter
from jaxseg.data.source import Example

TRIES = 10  # rectangles drawn before the middle of the picture is taken
RATIO = (3 / 4, 4 / 3)  # width to height


class Rectangle(NamedTuple):
    """A part of a picture, in its pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiCrop:
    """A transform from a picture to groups of views of static shapes.

    Views are independent of each other: each has random numbers of its own. In order:
    resized crop, flip, colour jitter, grey, blur. What the example held is dropped.

    Attributes:
        sizes: the side of the views of each group; no two alike.
        counts: how many views each group has.
        scales: of each group, the range of the part of the picture's area.
        flip: probability of mirroring.
        jitter: probability of `colour.jitter`.
        brightness: its strength, as for the three that follow.
        contrast: see there.
        saturation: see there.
        hue: see there.
        grey: probability of `colour.to_grey`.
        blur: probability of `colour.blur`.
        sigma: the range of its width.
    """

    sizes: tuple[int, ...] = (224, 96)
    counts: tuple[int, ...] = (2, 6)
    scales: tuple[tuple[float, float], ...] = ((0.14, 1.0), (0.05, 0.14))
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.8
    contrast: float = 0.8
    saturation: float = 0.8
    hue: float = 0.2
    grey: float = 0.2
    blur: float = 0.5
    sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self):
        groups = {len(self.sizes), len(self.counts), len(self.scales)}
        if groups != {len(set(self.sizes))} or not self.sizes:
            raise ValueError(
                "sizes, counts and scales have one entry for each group of views, and "
                f"sizes differ: got {self.sizes}, {self.counts}, {self.scales}"
            )
        if min(self.sizes) < 1 or min(self.counts) < 1:
            raise ValueError(f"sizes {self.sizes}, counts {self.counts}: at least 1")
        for low, high in self.scales:
            if not 0 < low <= high <= 1:
                raise ValueError(f"scales are ranges within (0, 1], got {low, high}")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue is at most half a turn, 0.5, got {self.hue}")

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        """Makes the views of a picture.

        Args:
            example: image uint8 [H, W, 3].
            rng: of this picture.

        Returns:
            crops_S uint8 [V, S, S, 3] for each size S, and rects float32 [V, 5] of the
            first group: left, top, width and height in pixels of the picture, and 1
            where mirrored.
        """
        views, rects = [], []
        streams = iter(rng.spawn(sum(self.counts)))
        for size, count, scale in zip(
            self.sizes, self.counts, self.scales, strict=True
        ):
            made = [
                self.view(example["image"], next(streams), size, scale)
                for _ in range(count)
            ]
            views.append(np.stack([view for view, _ in made]))
            rects.append(np.stack([rect for _, rect in made]))
        names = [f"crops_{size}" for size in self.sizes]
        return dict(zip(names, views, strict=True)) | {"rects": rects[0]}

    def view(
        self,
        image: np.ndarray,
        rng: np.random.Generator,
        size: int,
        scale: tuple[float, float],
    ) -> tuple[np.ndarray, np.ndarray]:
        """One view uint8 [S, S, 3] and its row of `rects`."""
        height, width, _ = image.shape
        where = draw_rectangle((height, width), rng, scale=scale)
        view = crop(image, where, size)
        flipped = rng.random() < self.flip
        if flipped:
            view = view[:, ::-1]
        if rng.random() < self.jitter:
            view = colour_jitter.jitter(
                view,
                rng,
                brightness=self.brightness,
                contrast=self.contrast,
                saturation=self.saturation,
                hue=self.hue,
            )
        if rng.random() < self.grey:
            view = colour_jitter.to_grey(view)
        if rng.random() < self.blur:
            view = colour_jitter.blur(view, rng.uniform(*self.sigma))
        return view, np.array([*where, flipped], np.float32)


def draw_rectangle(
    size: tuple[int, int], rng: np.random.Generator, *, scale: tuple[float, float]
) -> Rectangle:
    """Draws the area, the shape and then the place of a part of a picture.

    The area is uniform, the logarithm of width to height is, and so is the place. What
    does not fit is drawn again; after `TRIES` it is the middle of the picture, as
    large as its shape stays within `RATIO`.

    Args:
        size: height and width of the picture.
        rng: gives two numbers a try and two for the place.
        scale: the range of the part of the area.
    """
    height, width = size
    for _ in range(TRIES):
        area = height * width * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(*np.log(RATIO)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers((height - h, width - w), endpoint=True)
            return Rectangle(int(left), int(top), w, h)
    w = min(width, round(height * RATIO[1]))
    h = min(height, round(width / RATIO[0]))
    return Rectangle((width - w) // 2, (height - h) // 2, w, h)


def crop(image: np.ndarray, where: Rectangle, size: int) -> np.ndarray:
    """Resizes a part of a picture to a square, linearly and smoothed when it shrinks.

    Args:
        image: uint8 [H, W, 3].
        where: the part; pixels around it have no influence.
        size: S.

    Returns:
        uint8 [S, S, 3].
    """
    left, top, width, height = where
    part = np.ascontiguousarray(image[top : top + height, left : left + width])
    linear = Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(part).resize((size, size), linear))
