"""Maps stretched to a grid of square tiles, as the regression of transforms reads."""

import jax

from jaxseg.ops.resize import resize_bilinear


def tiles(maps: jax.Array, *, tile: int, rows: int, columns: int) -> jax.Array:
    """Resizes maps to whole tiles and cuts them apart.

    Args:
        maps: [B, h, w] float.
        tile: t, the side of a tile.
        rows: how many tiles down.
        columns: how many across.

    Returns:
        [B, rows * columns, t, t] in raster order, resized linearly (pixels are areas).
    """
    b = len(maps)
    shape = (rows * tile, columns * tile)
    resized = resize_bilinear(maps[..., None], shape, align_corners=False)
    cut = resized.reshape(b, rows, tile, columns, tile)
    return cut.swapaxes(2, 3).reshape(b, rows * columns, tile, tile)
