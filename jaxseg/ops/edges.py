"""Outlines of classes in label maps, on the device: the targets of a boundary head.

`sobel_edges` is what we train on, `pool_edges` brings it to a feature map's size;
`band_edges` and `sample_edges` are what the authors of SAZS train on. None of them
looks at one class after another: whether some class changes at a pixel is a question to
the labels around it, so the cost does not depend on the number of classes.
"""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxseg.ops.pooling import adaptive_average_pool

_NO_CLASS = -1
_SOBEL = (1, 2, 1)  # weights of the three pixels on one side of the kernel
_WITHIN_TWO = tuple(
    (dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if 0 < dy * dy + dx * dx <= 4
)


def sobel_edges(labels: jax.Array, *, num_classes: int) -> jax.Array:
    """Marks where a class begins or ends, away from void pixels.

    `sobel_outlines` without the pixels of `near_void`: where void begins, no one says
    that a thing ends.

    Args:
        labels: [B, H, W] integer class ids; ids outside [0, C) are void.
        num_classes: C.

    Returns:
        [B, H, W] bool; all false for a map of one class, or of none.
    """
    outlines = sobel_outlines(labels, num_classes=num_classes)
    return outlines & ~near_void(labels, num_classes=num_classes)


def sobel_outlines(labels: jax.Array, *, num_classes: int) -> jax.Array:
    """Marks pixels where the Sobel gradient of some class's mask is not zero.

    E = OR_c (G_x * M_c != 0 or G_y * M_c != 0), the border replicated, as the paper of
    SAZS has it; exact in integers. It is not "a neighbour has another label": the
    kernel does not see its centre, and responses may cancel.

    The response of class c is its weight among the three pixels on one side less that
    on the other. Void is no class, but may be counted as one: both sides weigh the same
    in all, so if the weights of void differ, those of some class do.

    Args:
        labels: [B, H, W] integer class ids; ids outside [0, C) are void.
        num_classes: C.

    Returns:
        [B, H, W] bool.
    """
    _, h, w = labels.shape
    padded = jnp.pad(_classes(labels, num_classes), ((0, 0), (1, 1), (1, 1)), "edge")

    def at(dy: int, dx: int) -> jax.Array:
        return padded[:, 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]

    steps = (-1, 0, 1)
    across = _differ([at(s, -1) for s in steps], [at(s, 1) for s in steps])
    down = _differ([at(-1, s) for s in steps], [at(1, s) for s in steps])
    return across | down


def near_void(labels: jax.Array, *, num_classes: int) -> jax.Array:
    """Marks void pixels and their eight neighbours.

    Args:
        labels: [B, H, W] integer class ids; ids outside [0, C) are void.
        num_classes: C.

    Returns:
        [B, H, W] bool.
    """
    _, h, w = labels.shape
    padded = jnp.pad(
        _classes(labels, num_classes) == _NO_CLASS, ((0, 0), (1, 1), (1, 1))
    )
    near = jnp.zeros(labels.shape, bool)
    for dy, dx in itertools.product(range(3), repeat=2):
        near |= padded[:, dy : dy + h, dx : dx + w]
    return near


def band_edges(labels: jax.Array, *, num_classes: int) -> jax.Array:
    """Marks the band of four pixels around outlines that the code of SAZS trains on.

    A pixel is an edge if, for some class of [0, C), another pixel at a distance of at
    most 2 is in the mask and it is not, or the other way round. Around the image lies a
    frame that is in no mask, so that its border is an edge.

    To compare with the authors: their C is the number of classes beside the
    background, so the last class has no outline of its own, and void is outlined.

    Args:
        labels: [B, H, W] integer class ids; ids outside [0, C) are in no mask.
        num_classes: C, of which each class has an outline.

    Returns:
        [B, H, W] bool.
    """
    _, h, w = labels.shape
    own = _classes(labels, num_classes)
    # Their frame is one pixel wide. A second changes nothing: a pixel in a mask that
    # reaches it has reached the first already, and for the others both are alike.
    padded = jnp.pad(own, ((0, 0), (2, 2), (2, 2)), constant_values=_NO_CLASS)
    edges = jnp.zeros(labels.shape, bool)
    for dy, dx in _WITHIN_TWO:
        edges |= padded[:, 2 + dy : 2 + dy + h, 2 + dx : 2 + dx + w] != own
    return edges


def pool_edges(edges: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """The maximum of an edge map over the cells of a feature map.

    Args:
        edges: [B, H, W] bool.
        shape: (h, w) of the feature map. Cells overlap by a pixel where H is no
            multiple of h.

    Returns:
        [B, h, w] bool, whether a cell has an edge pixel.
    """
    return (
        adaptive_average_pool(edges[..., None].astype(jnp.float32), shape)[..., 0] > 0
    )


def sample_edges(edges: jax.Array, stride: int) -> jax.Array:
    """Every `stride`-th pixel, as the authors shrink labels and edges alike.

    Args:
        edges: [B, H, W] of any dtype.
        stride: 8 in their code.

    Returns:
        [B, h, w], h = ceil(H / stride).
    """
    return edges[:, ::stride, ::stride]


def _classes(labels: jax.Array, num_classes: int) -> jax.Array:
    """Labels as int32, all that are no class alike."""
    labels = labels.astype(jnp.int32)
    return jnp.where((labels >= 0) & (labels < num_classes), labels, _NO_CLASS)


def _differ(side: Sequence[jax.Array], other: Sequence[jax.Array]) -> jax.Array:
    """Whether some label weighs more on one side of the kernel than on the other."""

    def weight(label: jax.Array, pixels: Sequence[jax.Array]) -> jax.Array:
        return sum(
            (w * (label == pixel) for w, pixel in zip(_SOBEL, pixels, strict=True)),
            start=jnp.zeros(label.shape, jnp.int32),
        )

    # The weights sum to four on each side: if those of all labels on the one side are
    # alike on the other, that has no other label.
    unequal = [weight(label, side) != weight(label, other) for label in side]
    return unequal[0] | unequal[1] | unequal[2]
