import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxseg.ops.edges import (
    band_edges,
    near_void,
    pool_edges,
    sample_edges,
    sobel_edges,
    sobel_outlines,
)

C = 5


@pytest.fixture
def labels() -> np.ndarray:
    """Patches of five classes and void [3, 20, 26], and single pixels in them."""
    rng = np.random.default_rng(0)
    ids = [0, 1, 2, 3, 4, 255]
    blocks = rng.choice(ids, size=(3, 5, 7)).repeat(4, 1).repeat(4, 2)[:, :, :26]
    return np.where(rng.random(blocks.shape) < 0.03, rng.choice(ids), blocks)


def outlines_by_class(labels):
    """SciPy's Sobel filter of each class's mask, in turn."""
    edges = np.zeros(labels.shape, bool)
    for image, edge in zip(labels, edges, strict=True):
        for c in range(C):
            mask = (image == c).astype(int)
            for axis in (0, 1):
                edge |= ndimage.sobel(mask, axis, mode="nearest") != 0
    return edges


def test_outlines_are_where_a_class_has_a_sobel_gradient(labels):
    ours = sobel_outlines(jnp.asarray(labels), num_classes=C)
    np.testing.assert_array_equal(ours, outlines_by_class(labels))


def test_pixels_beside_void_are_dropped(labels):
    void = ndimage.binary_dilation(labels == 255, np.ones((1, 3, 3)))
    np.testing.assert_array_equal(near_void(jnp.asarray(labels), num_classes=C), void)
    ours = jax.jit(sobel_edges, static_argnames="num_classes")(
        jnp.asarray(labels), num_classes=C
    )
    np.testing.assert_array_equal(ours, outlines_by_class(labels) & ~void)
    assert ours.any() and (outlines_by_class(labels) & void).any()


def test_the_kernel_does_not_see_its_centre():
    lone = np.zeros((1, 5, 5), np.int32)
    lone[0, 2, 2] = 1
    edges = sobel_edges(jnp.asarray(lone), num_classes=2)[0]
    assert not edges[2, 2] and edges[1:4, 1:4].sum() == 8


@pytest.mark.parametrize("value", [0, 3, 255, -1])
def test_one_class_or_none_has_no_edges(value):
    uniform = jnp.full((2, 9, 7), value)
    assert not sobel_edges(uniform, num_classes=C).any()


def test_every_id_outside_is_void(labels):
    other = np.where(labels == 255, np.resize([-1, C, 254], labels.shape), labels)
    for find in (sobel_edges, band_edges):
        ours, theirs = (find(jnp.asarray(x), num_classes=C) for x in (labels, other))
        np.testing.assert_array_equal(ours, theirs)


def test_the_number_of_classes_does_not_matter_where_all_are_known(labels):
    labels = jnp.asarray(np.where(labels == 255, 0, labels))
    few, many = (sobel_edges(labels, num_classes=n) for n in (C, 1_000))
    np.testing.assert_array_equal(few, many)


def test_bands_are_within_two_pixels_of_the_other_side(labels):
    expected = np.zeros(labels.shape, bool)
    for image, edge in zip(labels, expected, strict=True):
        for c in range(C):
            mask = np.pad(image == c, 1)
            near = ndimage.distance_transform_edt(mask)
            near += ndimage.distance_transform_edt(~mask)
            edge |= near[1:-1, 1:-1] <= 2
    ours = jax.jit(band_edges, static_argnames="num_classes")(
        jnp.asarray(labels), num_classes=C
    )
    np.testing.assert_array_equal(ours, expected)


def test_the_last_class_has_no_band_of_its_own():
    labels = np.full((1, 12, 12), C)
    labels[0, :, 6:] = 255
    assert not band_edges(jnp.asarray(labels), num_classes=C).any()
    assert band_edges(jnp.asarray(labels), num_classes=C + 1).any()


@pytest.mark.parametrize("shape, pooled", [((16, 24), (2, 3)), ((17, 23), (3, 3))])
def test_a_cell_has_an_edge_if_one_of_its_pixels_is_one(shape, pooled):
    edges = np.random.default_rng(1).random((4, *shape)) < 0.02
    bounds = [
        [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
        for n, m in zip(shape, pooled, strict=True)
    ]
    expected = [
        [[e[a:b, c:d].any() for c, d in bounds[1]] for a, b in bounds[0]] for e in edges
    ]
    np.testing.assert_array_equal(pool_edges(jnp.asarray(edges), pooled), expected)
    assert np.any(expected) and not np.all(expected)


def test_sampling_takes_every_eighth_pixel():
    x = jnp.arange(2 * 17 * 24).reshape(2, 17, 24)
    np.testing.assert_array_equal(sample_edges(x, 8), np.asarray(x)[:, ::8, ::8])
