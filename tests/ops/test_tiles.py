import jax.numpy as jnp
import numpy as np

from jaxseg.ops.resize import resize_bilinear
from jaxseg.ops.tiles import tiles


def test_tiles_come_in_raster_order():
    maps = np.arange(2 * 6 * 9, dtype=np.float32).reshape(2, 6, 9)
    cut = tiles(jnp.asarray(maps), tile=3, rows=2, columns=3)
    assert cut.shape == (2, 6, 3, 3)
    np.testing.assert_array_equal(cut[1, 0], maps[1, :3, :3])
    np.testing.assert_array_equal(cut[1, 2], maps[1, :3, 6:])
    np.testing.assert_array_equal(cut[1, 3], maps[1, 3:, :3])


def test_maps_are_stretched_to_whole_tiles():
    maps = jnp.asarray(np.random.default_rng(0).random((1, 5, 7)))
    resized = resize_bilinear(maps[..., None], (8, 12), align_corners=False)[..., 0]
    cut = tiles(maps, tile=4, rows=2, columns=3)
    np.testing.assert_allclose(cut[0, 4], resized[0, 4:, 4:8], rtol=1e-6)
