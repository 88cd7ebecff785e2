"""Augmentation on the device: resize, crop, flip, brightness, padding, in one program.

The arithmetic of `jaxseg.data.transforms.train_transform` for choices that the host has
drawn: the same draws give the same masks exactly, and the same pictures within a grey
level of what OpenCV's fixed-point numbers give.
"""

import jax
import jax.numpy as jnp


def augment(
    image: jax.Array,
    label: jax.Array,
    size: jax.Array,
    choices: jax.Array,
    *,
    crop: tuple[int, int],
    fill: tuple[int, int, int],
) -> tuple[jax.Array, jax.Array]:
    """Augments a batch of pictures and masks that lie in the upper left of a canvas.

    Args:
        image: uint8 [B, H, W, 3].
        label: int [B, H, W].
        size: int32 [B, 2], the height and width of each picture.
        choices: int32 [B, 9]: height and width of the whole picture resized, top and
            left of the window that is kept, 1 to mirror it, grey levels to add, rows
            and columns of padding before it, and the label of what is outside.
        crop: height and width of the result.
        fill: the colour outside of pictures.

    Returns:
        uint8 [B, *crop, 3] and int [B, *crop].
    """

    def one(image, label, size, choices):
        return _augment(image, label, size, choices, crop, fill)

    return jax.vmap(one)(image, label, size, choices)


def _augment(image, label, size, choices, crop, fill):
    """`augment` for one picture [H, W, 3]."""
    height, width, top, left, flipped, shift, above, before, ignore = choices
    rows, row_inside = _window(crop[0], height, top, above)
    columns, column_inside = _window(crop[1], width, left, before, flipped)
    inside = row_inside[:, None] & column_inside

    pixels = _resample(image.astype(jnp.float32), rows, size[0], height, axis=0)
    pixels = _resample(pixels, columns, size[1], width, axis=1)
    # Rounded before the shift, as the host does, or levels at a half could differ.
    pixels = jnp.clip(jnp.clip(jnp.floor(pixels + 0.5), 0, 255) + shift, 0, 255)
    pixels = jnp.where(inside[..., None], pixels, jnp.array(fill, jnp.float32))

    ids = jnp.take(label, _nearest(rows, size[0], height), axis=0, mode="clip")
    ids = jnp.take(ids, _nearest(columns, size[1], width), axis=1, mode="clip")
    return pixels.astype(jnp.uint8), jnp.where(inside, ids, ignore)


def _window(length, resized, start, padding, flipped=0):
    """Which pixel of the resized side each pixel of the crop shows, if any.

    Returns:
        int32 [length] positions, and bool [length], false in the padding.
    """
    kept = jnp.minimum(resized, length)
    place = jnp.arange(length, dtype=jnp.int32) - padding
    inside = (place >= 0) & (place < kept)
    place = jnp.where(flipped > 0, kept - 1 - place, place)
    return start + jnp.clip(place, 0, kept - 1), inside


def _nearest(target, size, resized):
    """The pixel whose area holds the middle of a resized one; in whole numbers."""
    return (2 * target + 1) * size // (2 * resized)


def _resample(x, target, size, resized, *, axis):
    """Cubic convolution along one axis, a = -3/4, with the border pixels repeated.

    A resized pixel i lies at (i + 1/2) n / m - 1/2 of the n pixels there were. Whole
    numbers give that exactly, and weights of exactly 0 and 1 where nothing is resized.
    """
    position = (2 * target + 1) * size - resized
    below = position // (2 * resized)
    t = (position % (2 * resized)) / (2 * resized)
    shape = [1] * x.ndim
    shape[axis] = len(target)
    total = 0.0
    for tap, weight in zip(range(-1, 3), _cubic_weights(t), strict=True):
        source = jnp.clip(below + tap, 0, size - 1)
        total += weight.reshape(shape) * jnp.take(x, source, axis=axis, mode="clip")
    return total


def _cubic_weights(t, a=-0.75):
    """Of the pixels at -1, 0, 1 and 2 for a point at t in [0, 1) (Keys 1981)."""
    first = a * t * (1 - t) ** 2
    last = a * t**2 * (1 - t)
    second = ((a + 2) * t - (a + 3)) * t**2 + 1
    return first, second, 1 - first - second - last, last
