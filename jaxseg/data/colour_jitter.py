"""Random colours and blur, as torchvision and SwAV do them to Pillow's pictures.

Read `jitter` first; `distort` is the one that detectors and segmentors are trained
with. All are functions of a uint8 [H, W, 3] RGB picture.
"""

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter


def jitter(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
) -> np.ndarray:
    """Changes brightness, contrast, saturation and hue by chance, in random order.

    Args:
        image: uint8 [H, W, 3].
        rng: draws four amounts and an order.
        brightness: b, for a factor uniform in [max(0, 1 - b), 1 + b].
        contrast: likewise.
        saturation: likewise.
        hue: the largest turn either way, 0.5 being half of the colour circle.
    """
    strengths = np.array([brightness, contrast, saturation])
    factors = rng.uniform(np.maximum(1 - strengths, 0), 1 + strengths)
    turn = rng.uniform(-hue, hue)
    changes = [
        lambda picture: scale_brightness(picture, factors[0]),
        lambda picture: scale_contrast(picture, factors[1]),
        lambda picture: scale_saturation(picture, factors[2]),
        lambda picture: turn_hue(picture, turn),
    ]
    for i in rng.permutation(len(changes)):
        image = changes[i](image)
    return image


def distort(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photometric distortion (Liu et al. 2016, SSD), as SegFormer's code has it.

    In order, each with probability 1/2: all levels shifted by up to 32; stretched by
    0.5 to 1.5 (or, half the time, as the last); the saturation in HSV multiplied by 0.5
    to 1.5; the hue turned by up to a tenth of the circle. Levels stay within 0..255.

    Args:
        image: uint8 [H, W, 3].
        rng: draws nine numbers.
    """
    shifts, stretches, first, saturates, turns = rng.random(5) < 0.5
    shift, factor, saturation, turn = rng.uniform(
        (-32, 0.5, 0.5, -0.1), (32, 1.5, 1.5, 0.1)
    )
    levels = np.arange(256)
    if shifts:
        image = _through(levels + shift, image)
    if stretches and first:
        image = _through(levels * factor, image)
    if saturates or turns:
        hsv = np.array(_picture(image).convert("HSV"))
        if saturates:
            hsv[..., 1] = _through(levels * saturation, hsv[..., 1])
        if turns:
            hsv[..., 0] += np.uint8(round(turn * 256) % 256)  # wraps around the circle
        image = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
    if stretches and not first:
        image = _through(levels * factor, image)
    return image


def scale_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiplies all levels: factor * image, within 0..255."""
    return np.asarray(ImageEnhance.Brightness(_picture(image)).enhance(factor))


def scale_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Moves all levels from or to the mean grey m: m + factor * (image - m)."""
    return np.asarray(ImageEnhance.Contrast(_picture(image)).enhance(factor))


def scale_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Moves each pixel from or to its own grey g: g + factor * (pixel - g)."""
    return np.asarray(ImageEnhance.Color(_picture(image)).enhance(factor))


def turn_hue(image: np.ndarray, turn: float) -> np.ndarray:
    """Turns the hue of Pillow's HSV, of 256 steps, by int(255 turn) of them."""
    hsv = np.array(_picture(image).convert("HSV"))
    hsv[..., 0] += np.uint8(int(turn * 255) % 256)  # wraps around the circle
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))


def to_grey(image: np.ndarray) -> np.ndarray:
    """Gives all channels the luma 0.299 R + 0.587 G + 0.114 B (ITU-R 601)."""
    return np.asarray(_picture(image).convert("L").convert("RGB"))


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Smooths by a Gaussian of `sigma` pixels, which Pillow approximates by boxes."""
    return np.asarray(_picture(image).filter(ImageFilter.GaussianBlur(sigma)))


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image))


def _through(table: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Looks levels 0..255 up in a table, within 0..255 and cut to whole ones."""
    return np.take(np.clip(table, 0, 255).astype(np.uint8), levels)
