"""Boxes of the largest component against SciPy's components."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from jaxseg.ops import localisation as ops

largest_box = jax.jit(ops.largest_box, static_argnames="patch")
bounds, largest_component = jax.jit(ops.bounds), jax.jit(ops.largest_component)

RNG = np.random.default_rng(0)


def by_scipy(mask):
    count = mask.sum()
    if count == 0 or mask.size / 2 < count < mask.size:
        mask = ~mask
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    largest = np.bincount(labels.ravel())[1:].argmax()
    rows, columns = ndimage.find_objects(labels)[largest]
    return columns.start, rows.start, columns.stop, rows.stop


def test_boxes_are_those_of_the_largest_components():
    masks = RNG.random((20, 7, 9)) < np.linspace(0.1, 0.9, 20)[:, None, None]
    ours = largest_box(jnp.asarray(masks))
    np.testing.assert_array_equal(ours, [by_scipy(mask) for mask in masks])


def test_full_and_empty_maps_are_all_of_the_picture():
    maps = jnp.stack([jnp.ones((3, 5), bool), jnp.zeros((3, 5), bool)])
    boxes = largest_box(maps, patch=8)
    np.testing.assert_array_equal(boxes, [[0, 0, 40, 24]] * 2)


def test_padding_is_no_node():
    masks = jnp.asarray(RNG.random((8, 5, 6)) < 0.6)
    noise = jnp.pad(masks, ((0, 0), (0, 2), (0, 3)), constant_values=True)
    valid = jnp.pad(jnp.ones_like(masks), ((0, 0), (0, 2), (0, 3)))
    padded = largest_box(noise, valid=valid)
    np.testing.assert_array_equal(padded, largest_box(masks))


def test_a_map_without_a_node_has_no_box():
    nowhere = jnp.zeros((1, 3, 4), bool)
    assert not largest_box(~nowhere, valid=nowhere).any()
    assert not bounds(nowhere[0]).any() and not largest_component(nowhere[0]).any()


def test_of_components_of_one_size_the_first_counts():
    mask = jnp.array([[0, 1, 0, 1], [1, 0, 0, 1]], bool)
    found = largest_component(mask)
    np.testing.assert_array_equal(found, [[0, 1, 0, 0], [1, 0, 0, 0]])
