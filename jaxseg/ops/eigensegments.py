"""From eigenvectors on a grid of patches to masks of pictures.

Deep Spectral Segmentation (Melas-Kyriazi et al., CVPR 2022) calls the mask [v_k > 0] of
the k-th eigenvector an eigensegment. `eigensegments` enlarges them for pictures of one
size, `eigensegments_within` for pictures of different sizes on one canvas.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxseg.ops.canvas import inside
from jaxseg.ops.resize import resize_within

Enlargement = Literal["bilinear", "nearest"]


def eigensegments(
    maps: jax.Array,
    size: tuple[int, int],
    *,
    patch: int | None,
    enlargement: Enlargement = "bilinear",
) -> jax.Array:
    """Thresholds eigenvectors at zero, at the size of their pictures.

    Args:
        maps: [B, h, w, K] float, signs fixed.
        size: (H, W) of the pictures; a constant of the program.
        patch: side of the square of pixels that a node stands for, the first at the top
            left. What the grid does not reach is filled from its border, what it has
            too much is cut off. None: the grid covers the whole picture.
        enlargement: "bilinear" enlarges the vectors and thresholds after it, which
            smooths the outline. "nearest" repeats each node's mask, and fills what the
            grid does not reach from a nearest resize of the whole grid (pixel i has
            node floor(i h / H)), as the authors' code does.

    Returns:
        [B, H, W, K] bool.

    Raises:
        ValueError: if there is no such enlargement.
    """
    b, h, w, _ = maps.shape
    grid = jnp.broadcast_to(jnp.array([h, w], jnp.int32), (b, 2))
    sizes = jnp.broadcast_to(jnp.array(size, jnp.int32), (b, 2))
    covered = sizes if patch is None else grid * patch
    return eigensegments_within(
        maps, grid, covered, sizes, size, enlargement=enlargement
    )


def eigensegments_within(
    maps: jax.Array,
    grid: jax.Array,
    covered: jax.Array,
    size: jax.Array,
    shape: tuple[int, int],
    *,
    enlargement: Enlargement = "bilinear",
) -> jax.Array:
    """As `eigensegments`, of pictures of any sizes at the top left of their canvases.

    Args:
        maps: [B, h, w, K] float, each grid at the top left of its map.
        grid: int [B, 2], rows and columns of each grid, at least 1.
        covered: int [B, 2], height and width in pixels of what each grid covers.
        size: int [B, 2], height and width of each picture.
        shape: (H, W) of the canvases; a constant of the program.
        enlargement: see `eigensegments`.

    Returns:
        [B, H, W, K] bool; false outside of the pictures.

    Raises:
        ValueError: if there is no such enlargement.
    """
    height, width = shape
    if enlargement == "bilinear":
        fine = resize_within(maps, grid, covered, shape, align_corners=False)
    elif enlargement == "nearest":
        rows = _nearest(grid[:, 0], covered[:, 0], size[:, 0], height)
        columns = _nearest(grid[:, 1], covered[:, 1], size[:, 1], width)
        # The authors resize the whole grid where either side is beyond it.
        by_patch, by_resize = zip(rows, columns, strict=True)
        fine = jnp.where(
            inside(covered, shape)[..., None],
            _take(maps, *by_patch),
            _take(maps, *by_resize),
        )
    else:
        raise ValueError(f"enlargement is 'bilinear' or 'nearest', got {enlargement!r}")
    return (fine > 0) & inside(size, shape)[..., None]


def _nearest(
    nodes: jax.Array, covered: jax.Array, size: jax.Array, length: int
) -> tuple[jax.Array, jax.Array]:
    """The node of each pixel of a row [B, M], by patches and by a resize."""
    pixels = jnp.arange(length)
    nodes, covered, size = nodes[:, None], covered[:, None], size[:, None]
    last = nodes - 1
    by_patch = jnp.minimum(pixels * nodes // covered, last)
    by_resize = jnp.minimum(pixels * nodes // size, last)
    return by_patch, by_resize


def _take(maps: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Nodes [B, H, W, K] at rows [B, H] and columns [B, W] of maps [B, h, w, K]."""
    return jax.vmap(lambda x, i, j: x[i[:, None], j[None, :]])(maps, rows, columns)
