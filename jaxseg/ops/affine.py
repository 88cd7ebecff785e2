"""Affine transforms of pictures: of normalised parameters to matrices, and warps."""

import jax
import jax.numpy as jnp

# What one unit of a normalised parameter is: 15 % of scale, or of half a side of shift.
UNIT = 0.15


def matrices(parameters: jax.Array) -> jax.Array:
    """The transforms that normalised scales and shifts stand for.

    p -> [[1 + p_0 / u, 0, p_2 / u], [0, 1 + p_1 / u, p_3 / u]] with 1 / u = 0.15, so
    that p ~ N(0, 1) are plausible errors and p = 0 is the identity.

    Args:
        parameters: [..., 4] scale across, scale down, shift across, shift down.

    Returns:
        [..., 2, 3] float32 in coordinates from -1 to 1.
    """
    scaled = UNIT * parameters.astype(jnp.float32)
    zero = jnp.zeros_like(scaled[..., 0])
    across = jnp.stack([1.0 + scaled[..., 0], zero, scaled[..., 2]], axis=-1)
    down = jnp.stack([zero, 1.0 + scaled[..., 1], scaled[..., 3]], axis=-1)
    return jnp.stack([across, down], axis=-2)


def warp(images: jax.Array, matrix: jax.Array) -> jax.Array:
    """Samples images at transformed places, as torch's `grid_sample`.

    out(x, y) = image(A (x, y, 1)) by bilinear interpolation. Coordinates go from -1 to
    1 between the outer borders of the corner pixels (pixel i of n is centred at
    (2 i + 1) / n - 1); outside of an image is 0.

    Args:
        images: [B, h, w] float.
        matrix: [B, 2, 3] A, the row of x first.

    Returns:
        [B, h, w] float32.
    """
    _, h, w = images.shape
    y, x = jnp.meshgrid(_centres(h), _centres(w), indexing="ij")
    places = jnp.stack([x, y, jnp.ones_like(x)])  # [3, h, w]
    moved = jnp.einsum("bij,jhw->bihw", matrix, places, precision="highest")
    columns = ((moved[:, 0] + 1) * w - 1) / 2
    rows = ((moved[:, 1] + 1) * h - 1) / 2
    return jax.vmap(_sample)(images.astype(jnp.float32), rows, columns)


def _centres(size: int) -> jax.Array:
    return (2 * jnp.arange(size, dtype=jnp.float32) + 1) / size - 1


def _sample(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    coordinates = [rows, columns]
    return jax.scipy.ndimage.map_coordinates(
        image, coordinates, order=1, mode="constant", cval=0.0
    )
