import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxseg.ops.components import adjacency, first_pixels, regions

CORNERS = np.ones((3, 3))
NUM_CLASSES = 3


def scipy_first_pixels(labels):
    """Class by class with SciPy, each region named by its smallest place."""
    names = np.full(labels.shape, labels.size)
    places = np.arange(labels.size).reshape(labels.shape)
    for c in range(NUM_CLASSES):
        found, number = ndimage.label(labels == c, CORNERS)
        for i in range(1, number + 1):
            names[found == i] = places[found == i].min()
    return names


def slow_adjacency(ids, budget):
    touching = np.zeros((budget, budget))
    h, w = ids.shape
    for y, x in np.ndindex(h, w):
        for v, u in np.ndindex(3, 3):
            if 0 <= y + v - 1 < h and 0 <= x + u - 1 < w:
                a, b = ids[y, x], ids[y + v - 1, x + u - 1]
                touching[a, b] = max(touching[a, b], a >= 0 and b >= 0 and a != b)
    return touching


def random_maps(count=6, shape=(13, 17), seed=0):
    rng = np.random.default_rng(seed)
    return rng.choice([0, 1, 2, 255], (count, *shape), p=[0.3, 0.3, 0.2, 0.2])


def of_batch(labels):
    find = jax.jit(jax.vmap(lambda x: first_pixels(x, num_classes=NUM_CLASSES)))
    return np.asarray(find(jnp.asarray(labels)))


def test_regions_are_scipys_at_every_density():
    labels = random_maps()
    expected = np.stack([scipy_first_pixels(x) for x in labels])
    np.testing.assert_array_equal(of_batch(labels), expected)


def spiral(size):
    """One region a pixel wide that winds inwards, in another."""
    inside = np.zeros((size, size), int)
    y, x, (v, u) = 0, 0, (0, 1)
    inside[0, 0] = 1
    for turn in range(2 * size):
        for _ in range(max(size - 1 - 2 * ((turn - 1) // 2 if turn else 0), 0)):
            y, x = y + v, x + u
            if 0 <= y < size and 0 <= x < size:
                inside[y, x] = 1
        v, u = u, -v
    return inside


@pytest.mark.parametrize("turned", range(4))
def test_a_spiral_is_one_region_however_it_lies(turned):
    labels = np.rot90(spiral(21), turned).copy()
    np.testing.assert_array_equal(of_batch(labels[None])[0], scipy_first_pixels(labels))


def test_corners_touch_and_classes_do_not_mix():
    labels = jnp.asarray([[0, 1, 2], [1, 0, 2], [255, 1, 0]])
    found = regions(labels, num_classes=3, budget=4)
    assert found.ids.tolist() == [[0, 1, 2], [1, 0, 2], [-1, 1, 0]]
    assert found.labels.tolist() == [0, 1, 2, -1]
    assert found.first.tolist() == [0, 1, 2, 0]
    expected = [[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert adjacency(found.ids, budget=4).tolist() == expected


def test_regions_beyond_the_budget_belong_to_none():
    labels = jnp.asarray([[0, 1, 0, 1, 0]])
    found = regions(labels, num_classes=2, budget=3)
    assert found.ids.tolist() == [[0, 1, 2, -1, -1]]
    assert found.labels.tolist() == [0, 1, 0]
    touching = adjacency(found.ids, budget=3)
    assert touching.tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_a_map_without_labels_has_no_region():
    labels = jnp.full((4, 5), 255)
    assert (first_pixels(labels, num_classes=3) == 20).all()
    found = regions(labels, num_classes=3, budget=2)
    assert (found.ids == -1).all() and found.labels.tolist() == [-1, -1]
    assert not adjacency(found.ids, budget=2).any()


def test_one_region_may_fill_the_map():
    found = regions(jnp.ones((7, 1), int), num_classes=2, budget=2)
    assert (found.ids == 0).all() and found.labels.tolist() == [1, -1]


def test_numbers_follow_first_pixels_and_touching_is_that_of_a_slow_loop():
    labels = random_maps(count=3, shape=(6, 7), seed=1)
    budget = 42
    number = jax.jit(lambda x: regions(x, num_classes=NUM_CLASSES, budget=budget))
    for one in labels:
        found = number(jnp.asarray(one))
        names = scipy_first_pixels(one)
        expected = np.unique(names[names < names.size])
        assert found.first[: len(expected)].tolist() == expected.tolist()
        ids = np.asarray(found.ids)
        assert (expected[ids[ids >= 0]] == names[ids >= 0]).all()
        touching = jax.jit(lambda x: adjacency(x, budget=budget))(found.ids)
        np.testing.assert_array_equal(touching, slow_adjacency(ids, budget))


def test_compiled_equals_eager():
    labels = jnp.asarray(random_maps(count=1)[0])

    def find(x):
        found = regions(x, num_classes=NUM_CLASSES, budget=20)
        return *found, adjacency(found.ids, budget=20)

    for eager, compiled in zip(find(labels), jax.jit(find)(labels), strict=True):
        np.testing.assert_array_equal(eager, compiled)
