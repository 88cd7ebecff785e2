"""A picture at several scales, and what a network says of them put together.

As SPNet and CaGNet train and score: the picture is shrunk, the answers are enlarged to
the size of the first and the largest counts, labels go to the size of each answer.
"""

import fractions
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg.ops.resize import resize_bilinear, resize_nearest


def shrink(image: jax.Array, scale: float) -> jax.Array:
    """Resizes pictures linearly to int(scale * side), pixels being areas.

    Nothing is smoothed, as the authors' code does not.

    Args:
        image: [B, H, W, D]; whole numbers become float32.
        scale: factor of both sides, above 0; 1 changes nothing.

    Returns:
        [B, h, w, D] float.
    """
    _, height, width, _ = image.shape
    if not jnp.issubdtype(image.dtype, jnp.floating):
        image = image.astype(jnp.float32)
    shape = scaled(height, scale), scaled(width, scale)
    return resize_bilinear(image, shape, align_corners=False)


def largest(maps: Sequence[jax.Array]) -> jax.Array:
    """The element-wise maximum of maps, after resizing them to the first one's size.

    Args:
        maps: [B, h_i, w_i, D] each; at least one.

    Returns:
        [B, h_0, w_0, D].

    Raises:
        ValueError: if there is none.
    """
    if not maps:
        raise ValueError("largest of no maps: give at least one")
    result, *others = maps
    _, height, width, _ = result.shape
    for other in others:
        same = resize_bilinear(other, (height, width), align_corners=False)
        result = jnp.maximum(result, same)
    return result


def labels_at(labels: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Labels [B, H, W] at a map's size (h, w), by nearest sampling; never mixed."""
    return resize_nearest(labels, size)


def scaled(side: Any, scale: float) -> Any:
    """int(scale * side), at least 1, of a number or an array; 0.7 is meant as 7/10."""
    factor = fractions.Fraction(str(scale)).limit_denominator(1000)
    whole = side * factor.numerator // factor.denominator
    return max(whole, 1) if isinstance(side, int) else jnp.maximum(whole, 1)
