"""Small label maps made on the device: `draw` invents them, `windows` cuts them out."""

import jax
import jax.numpy as jnp

SIDES = 4  # the side of a scene, and of the largest window of it, in sides of a map
MOST_SHAPES = 6
# Half the extent of a shape, in sides of the scene.
LEAST, MOST = 0.06, 0.3


def draw(
    key: jax.Array, count: int, size: int, *, most: int = MOST_SHAPES
) -> jax.Array:
    """Windows of scenes of ellipses and rectangles, later ones over earlier ones.

    A scene has 0 to `most` of them, of which some may lie outside of the window: a
    square of a side of t to 4 t, shrunk to t. Nothing is drawn larger first; each pixel
    is looked up where it lies.

    Args:
        key: of all draws; it alone decides, on any number of devices.
        count: N.
        size: t.
        most: shapes of a scene.

    Returns:
        [N, t, t] int32, 0 where there is none, and 1 to `most`.
    """
    keys = jax.random.split(key, 6)
    of_shapes = (count, most, 2, 1)
    centres = jax.random.uniform(keys[0], of_shapes)
    extents = jax.random.uniform(keys[1], of_shapes, minval=LEAST, maxval=MOST)
    is_ellipse = jax.random.bernoulli(keys[2], shape=(count, most, 1, 1))
    number = jax.random.randint(keys[3], (count, 1, 1), 0, most + 1)
    side = jax.random.uniform(keys[4], (count, 1, 1), minval=1.0, maxval=SIDES) / SIDES
    corner = jax.random.uniform(keys[5], (count, 2, 1)) * (1 - side)
    places = corner + side * (jnp.arange(size) + 0.5) / size  # [N, 2, t]

    labels = jnp.zeros((count, size, size), jnp.int32)
    for i in range(most):  # one after another: all at once would be memory and time
        away = jnp.abs(places - centres[:, i]) / extents[:, i]
        rows, columns = away[:, 0, :, None], away[:, 1, None, :]
        inside = jnp.where(
            is_ellipse[:, i], rows**2 + columns**2 <= 1, jnp.maximum(rows, columns) <= 1
        )
        labels = jnp.where(inside & (i < number), i + 1, labels)
    return labels


def windows(
    key: jax.Array, labels: jax.Array, *, per_picture: int, size: int
) -> jax.Array:
    """Square windows of label maps, resized to one size by picking pixels.

    Their sides are from t to 4 t pixels, or as large as the map allows.

    Args:
        key: of all draws; it alone decides, on any number of devices.
        labels: [B, H, W] integer class ids; ids are copied, never mixed.
        per_picture: K, windows of each map.
        size: t.

    Returns:
        [B * K, t, t] of the labels' dtype, those of one map together.
    """
    b, height, width = labels.shape
    largest = min(SIDES * size, height, width)
    side_key, corner_key = jax.random.split(key)
    side = jax.random.uniform(
        side_key, (b, per_picture, 1), minval=min(size, largest), maxval=largest
    )
    room = jnp.array([height, width]) - side
    corner = jax.random.uniform(corner_key, (b, per_picture, 2)) * room
    steps = (jnp.arange(size) + 0.5) / size
    places = corner[..., None] + side[..., None] * steps  # [B, K, 2, t]
    limits = jnp.array([[height - 1], [width - 1]])
    rows, columns = jnp.moveaxis(jnp.minimum(places.astype(jnp.int32), limits), 2, 0)
    cut = jax.vmap(lambda x, i, j: x[i[:, :, None], j[:, None, :]])
    return cut(labels, rows, columns).reshape(b * per_picture, size, size)
