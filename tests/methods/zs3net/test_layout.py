import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from jaxseg.methods.zs3net import layout

CLASSES = dict(num_classes=5, unseen=(3, 4))


def labels_of(seed=0, shape=(4, 12, 14)):
    rng = np.random.default_rng(seed)
    return rng.choice([0, 1, 2, 255], shape, p=[0.4, 0.3, 0.2, 0.1])


@functools.cache
def compiled(function):
    return jax.jit(functools.partial(function, **CLASSES))


def draw(function, labels, share=0.5):
    drawn = compiled(function)(jax.random.key(0), jnp.asarray(labels), share=share)
    return jax.tree.map(np.asarray, drawn)


def test_whole_regions_change_to_one_unseen_class_each():
    labels = labels_of()
    drawn = draw(layout.sampled, labels)
    for before, after, generated in zip(labels, *drawn, strict=True):
        for c in range(3):
            regions, number = ndimage.label(before == c, np.ones((3, 3)))
            for i in range(1, number + 1):
                inside = regions == i
                assert len(set(after[inside])) == len(set(generated[inside])) == 1
                assert (after[inside][0] in (3, 4)) == generated[inside][0]


def test_unlabelled_positions_stay_so_and_kept_ones_keep_their_class():
    labels = labels_of(seed=1)
    for function in (layout.sampled, layout.iid):
        after, generated = draw(function, labels)
        np.testing.assert_array_equal(after[~generated], labels[~generated])
        assert not generated[labels == 255].any()


def test_shares_of_regions_and_of_classes_are_those_asked_for():
    checkers = np.indices((40, 40)).sum(0) % 3  # of corners, not of regions
    stripes = np.broadcast_to((np.arange(400) % 3)[:, None], (400, 2))[None]
    for function, labels in ((layout.sampled, stripes), (layout.iid, checkers[None])):
        after, generated = draw(function, labels, share=0.3)
        assert abs(generated.mean() - 0.3) < 0.07
        assert abs((after[generated] == 3).mean() - 0.5) < 0.15


def test_all_or_nothing():
    labels = labels_of(seed=2)
    for function in (layout.sampled, layout.iid):
        after, generated = draw(function, labels, share=0.0)
        np.testing.assert_array_equal(after, labels)
        assert not generated.any()
        after, generated = draw(function, labels, share=1.0)
        np.testing.assert_array_equal(generated, labels < 3)
        assert np.isin(after[generated], (3, 4)).all()


def test_the_true_layout_generates_pictures_with_an_unseen_class_as_a_whole():
    labels = labels_of(seed=3)
    labels[1, 0, 0] = 4
    after, generated = layout.ground_truth(jnp.asarray(labels), **CLASSES)
    np.testing.assert_array_equal(after, labels)
    np.testing.assert_array_equal(generated[1], labels[1] < 5)
    assert not generated[jnp.asarray([0, 2, 3])].any()


def test_pictures_with_a_class_are_found():
    labels = jnp.asarray([[[0, 1]], [[2, 255]], [[255, 255]]])
    assert layout.shows_any(labels, (1, 2)).tolist() == [True, True, False]
