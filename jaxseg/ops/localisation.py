"""Where the thing in a picture is, by its first eigensegment: `largest_box`.

Deep Spectral Segmentation (Melas-Kyriazi et al., CVPR 2022), object localisation.
"""

import jax
import jax.numpy as jnp

from jaxseg.ops.components import first_pixels


def largest_box(
    masks: jax.Array, *, patch: int = 1, valid: jax.Array | None = None
) -> jax.Array:
    """Finds the box of the largest connected component of each mask.

    A mask with more than half of the nodes but not all is inverted first, and so is an
    empty one: things are smaller than what is around them. Nodes are neighbours across
    corners; of components of one size the first in raster order counts.

    Args:
        masks: [B, h, w] bool, such as [v_1 > 0].
        patch: side of the square of pixels that a node stands for.
        valid: [B, h, w] bool, the nodes that there are; all if None.

    Returns:
        int32 [B, 4] boxes in pixels, left, top, right and bottom, the last two
        exclusive; zeros of a map without a node.
    """
    if valid is None:
        valid = jnp.ones(masks.shape, bool)
    return patch * jax.vmap(_box)(masks, valid)


def largest_component(mask: jax.Array) -> jax.Array:
    """The largest connected component [h, w] of a mask [h, w], bool; empty of none."""
    size = mask.size
    names = first_pixels(jnp.where(mask, 0, -1), num_classes=1).ravel()
    areas = jax.ops.segment_sum(jnp.ones_like(names), names, size + 1)[:size]
    return mask & (names == jnp.argmax(areas)).reshape(mask.shape)


def _box(mask: jax.Array, valid: jax.Array) -> jax.Array:
    mask &= valid
    count, number = jnp.sum(mask), jnp.sum(valid)
    invert = ((2 * count > number) & (count < number)) | (count == 0)
    return bounds(largest_component(jnp.where(invert, valid & ~mask, mask)))


def bounds(mask: jax.Array) -> jax.Array:
    """The box around a mask [h, w], int32 [4]; see `largest_box`."""
    sides = []
    for axis in (0, 1):  # what is left of columns, then of rows
        line = jnp.any(mask, axis=axis)
        first = jnp.argmax(line)
        last = len(line) - jnp.argmax(line[::-1])
        some = jnp.any(line)
        sides.append((jnp.where(some, first, 0), jnp.where(some, last, 0)))
    (left, right), (top, bottom) = sides
    return jnp.stack([left, top, right, bottom]).astype(jnp.int32)
