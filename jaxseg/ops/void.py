"""Void in label maps, given back to the classes around it: `grow_classes`."""

import jax
import jax.numpy as jnp

_AROUND = ((-1, 0), (1, 0), (0, -1), (0, 1))


def grow_classes(labels: jax.Array, *, num_classes: int, pixels: int) -> jax.Array:
    """Lets classes grow into void, a pixel at a time, until they meet or it is enough.

    The masks of PASCAL VOC have a band of void, about five pixels wide, around every
    thing: without the pixels beside void next to no outline is left. Grown from both
    sides, the classes meet in the middle of such a band.

    Args:
        labels: [B, H, W] integer class ids; ids outside [0, C) are void.
        num_classes: C.
        pixels: how far they grow at most, in steps to the four neighbours.

    Returns:
        [B, H, W] of the labels' dtype. A void pixel has the class of a neighbour that
        was first to reach it, of several the one above, below, left, right; what is
        farther from all classes stays void.
    """
    _, h, w = labels.shape
    margin = ((0, 0), (1, 1), (1, 1))

    def known(ids: jax.Array) -> jax.Array:
        return (ids >= 0) & (ids < num_classes)

    def grow(_: int, labels: jax.Array) -> jax.Array:
        padded = jnp.pad(labels, margin, mode="edge")  # a border pixel is void or known
        grown, found = labels, known(labels)
        for dy, dx in _AROUND:
            neighbour = padded[:, 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]
            takes = ~found & known(neighbour)
            grown, found = jnp.where(takes, neighbour, grown), found | takes
        return grown

    return jax.lax.fori_loop(0, pixels, grow, labels)
