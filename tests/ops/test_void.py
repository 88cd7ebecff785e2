import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from jaxseg.ops.edges import sobel_edges
from jaxseg.ops.void import grow_classes

C = 4


def patches():
    rng = np.random.default_rng(0)
    ids = rng.choice([0, 1, 2, 3, 255, 255], size=(2, 4, 5))
    return ids.repeat(5, 1).repeat(5, 2)


def test_classes_grow_by_steps_to_the_four_neighbours():
    labels = patches()
    grown = np.asarray(grow_classes(jnp.asarray(labels), num_classes=C, pixels=3))
    for before, after in zip(labels, grown, strict=True):
        distance = ndimage.distance_transform_cdt(before == 255, "taxicab")
        np.testing.assert_array_equal(after == 255, distance > 3)
        np.testing.assert_array_equal(after[before != 255], before[before != 255])


def test_a_pixel_takes_a_class_that_is_nearest():
    labels = patches()
    grown = np.asarray(grow_classes(jnp.asarray(labels), num_classes=C, pixels=20))
    for before, after in zip(labels, grown, strict=True):
        nearest = [
            ndimage.distance_transform_cdt(before != c, "taxicab")
            if (before == c).any()
            else np.full(before.shape, 99)
            for c in range(C)
        ]
        mine = np.take_along_axis(np.array(nearest), after[None].astype(int), 0)[0]
        np.testing.assert_array_equal(mine, np.min(nearest, axis=0))


def test_classes_meet_in_the_middle_of_a_band():
    labels = np.zeros((1, 12, 20), np.int32)
    labels[:, :, 8:13], labels[:, :, 13:] = 255, 2
    assert not sobel_edges(jnp.asarray(labels), num_classes=C).any()
    grown = jax.jit(grow_classes, static_argnames=("num_classes", "pixels"))(
        jnp.asarray(labels), num_classes=C, pixels=3
    )
    edges = np.asarray(sobel_edges(grown, num_classes=C))[0]
    assert (edges == np.isin(np.arange(20), (10, 11))).all()


def test_nothing_grows_where_there_is_nothing():
    void = jnp.full((1, 6, 6), 255)
    np.testing.assert_array_equal(grow_classes(void, num_classes=C, pixels=4), void)
    labels = jnp.asarray(patches())
    np.testing.assert_array_equal(grow_classes(labels, num_classes=C, pixels=0), labels)
