"""How seen classes share a small patch, remembered without saying which: `remember`.

A layout is a patch's partition: its parts are numbered from the largest, 0, and of
equal ones from the first in raster order. Sampling from the table has the frequencies
of the pictures (`patch_priors.empirical`).
"""

import jax
import jax.numpy as jnp
from flax import struct

from jaxseg.data.labels import IGNORE
from jaxseg.methods.cagnet import patches

MAX_PARTS = 3


class Layouts(struct.PyTreeNode):
    """A ring of the newest L layouts.

    Attributes:
        parts: [L, k, k] int8 numbers of parts; zero where nothing was written.
        pointer: [] int32, the slot that is written next.
        fill: [] int32, how many slots hold a layout.
    """

    parts: jax.Array
    pointer: jax.Array
    fill: jax.Array


def empty_layouts(length: int, side: int) -> Layouts:
    """A table for `length` layouts of `side` x `side` that holds none yet.

    Raises:
        ValueError: if there is no room for one.
    """
    if length < 1 or side < 1:
        raise ValueError(
            f"a table of {length} layouts of {side} x {side} holds nothing: both must "
            "be at least 1"
        )
    return Layouts(
        parts=jnp.zeros((length, side, side), jnp.int8),
        pointer=jnp.zeros((), jnp.int32),
        fill=jnp.zeros((), jnp.int32),
    )


def partition(labels: jax.Array) -> jax.Array:
    """Numbers the parts of patches by falling size.

    Args:
        labels: [P, k, k] integers; equal ones are a part, connected or not.

    Returns:
        [P, k, k] int8 layouts, 0 on the largest part; of equal parts, the one that
        comes first in raster order has the smaller number.
    """
    num_patches, side, _ = labels.shape
    num_pixels = side * side
    flat = labels.reshape(num_patches, num_pixels)
    same = flat[:, :, None] == flat[:, None, :]  # [P, k k, k k]
    size, first = jnp.sum(same, axis=2), jnp.argmax(same, axis=2)
    # Unique to a part, the smaller the earlier its number.
    rank = (num_pixels - size) * num_pixels + first
    is_first = first == jnp.arange(num_pixels)
    before = (rank[:, None, :] < rank[:, :, None]) & is_first[:, None, :]
    return jnp.sum(before, axis=2).astype(jnp.int8).reshape(labels.shape)


def remember(
    layouts: Layouts, labels: jax.Array, key: jax.Array, *, num_new: int
) -> Layouts:
    """Adds layouts of label maps to the table, over the oldest ones.

    The maps are cut into patches, whose unlabelled pixels are filled from their
    neighbours. Patches without any label, or of more than three classes, do not count.

    Args:
        layouts: before; may be donated.
        labels: [B, H, W] class ids of real pictures, 255 where there is none. Unseen
            classes must be hidden already: this cannot know them.
        key: chooses among the patches.
        num_new: the most layouts that are added; of L at most.

    Returns:
        The table after.
    """
    length, side, _ = layouts.parts.shape
    num_new = min(num_new, length)
    drawn = patches.draw(key, labels, side=side, num_patches=num_new)
    drawn = patches.fill_ignored(drawn, num_rounds=side // 2)
    is_new = jnp.all(drawn != IGNORE, axis=(1, 2))
    is_new &= patches.num_distinct(drawn) <= MAX_PARTS

    offset = jnp.cumsum(is_new, dtype=jnp.int32) - 1
    nowhere = length + jnp.arange(num_new, dtype=jnp.int32)  # dropped, all different
    slot = jnp.where(is_new, (layouts.pointer + offset) % length, nowhere)
    num_found = jnp.sum(is_new, dtype=jnp.int32)
    return Layouts(
        parts=layouts.parts.at[slot].set(
            partition(drawn), mode="drop", unique_indices=True
        ),
        pointer=(layouts.pointer + num_found) % length,
        fill=jnp.minimum(layouts.fill + num_found, length),
    )
