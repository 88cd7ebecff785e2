import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.data.labels import IGNORE
from jaxseg.methods.cagnet import layouts

KEY = jax.random.key(0)
REMEMBER = jax.jit(layouts.remember, static_argnames="num_new")


def numbered(patch):
    """The layout of a patch, by sorting its labels."""
    flat = patch.ravel().tolist()
    counts = collections.Counter(flat)
    ranked = sorted(counts, key=lambda label: (-counts[label], flat.index(label)))
    return np.vectorize(ranked.index)(patch)


def test_parts_are_numbered_by_size_then_by_place():
    grid = np.random.default_rng(0).integers(0, 4, (100, 3, 3))
    ours = jax.jit(layouts.partition)(jnp.asarray(grid))
    np.testing.assert_array_equal(ours, [numbered(patch) for patch in grid])


def test_a_layout_does_not_say_which_classes():
    grid = np.random.default_rng(1).integers(0, 3, (50, 3, 3))
    renamed = np.array([17, 3, 9])[grid]
    np.testing.assert_array_equal(
        layouts.partition(jnp.asarray(grid)), layouts.partition(jnp.asarray(renamed))
    )


def stripes(label_of_row):
    """A map [1, 9, 9] with a label a row."""
    return jnp.broadcast_to(jnp.asarray(label_of_row)[None, :, None], (1, 9, 9))


def filled_parts(table):
    return np.asarray(table.parts[: int(table.fill)])


def test_layouts_of_a_map_are_remembered():
    labels = stripes([4, 4, 4, 4, 4, 6, IGNORE, IGNORE, IGNORE])
    table = REMEMBER(layouts.empty_layouts(20, 3), labels, KEY, num_new=20)
    found = collections.Counter(map(bytes, filled_parts(table)))
    two = np.repeat(np.array([0, 0, 1], np.int8), 3)
    assert found == {bytes(9): 3, two.tobytes(): 3}
    assert int(table.pointer) == 6


def test_patches_of_more_than_three_classes_are_left_out():
    labels = jnp.arange(81).reshape(1, 9, 9)
    table = REMEMBER(layouts.empty_layouts(20, 3), labels, KEY, num_new=20)
    assert int(table.fill) == 0 and not jnp.any(table.parts)


def test_the_oldest_layouts_go_first():
    table = layouts.empty_layouts(4, 3)
    one, two = stripes([1] * 9), stripes([1, 1, 2] * 3)
    for labels in (two, one, one):
        table = REMEMBER(table, labels, KEY, num_new=3)
    assert int(table.fill) == 4 and int(table.pointer) == 1
    assert not jnp.any(table.parts)
    table = REMEMBER(table, two, KEY, num_new=3)
    assert np.asarray(table.parts).any(axis=(1, 2)).tolist() == [False, *[True] * 3]


def test_unlabelled_pixels_take_their_neighbours():
    labels = stripes([IGNORE, 5, 5, 7, IGNORE, 8, 9, 9, 9])
    table = REMEMBER(layouts.empty_layouts(9, 3), labels, KEY, num_new=9)
    assert int(table.fill) == 9
    assert sorted(filled_parts(table).max(axis=(1, 2))) == [0] * 6 + [1] * 3


def test_jit_equals_eager():
    labels = jnp.asarray(np.random.default_rng(0).integers(0, 2, (2, 12, 12)))
    empty = layouts.empty_layouts(16, 3)
    eager = layouts.remember(empty, labels, KEY, num_new=8)
    compiled = REMEMBER(empty, labels, KEY, num_new=8)
    jax.tree.map(np.testing.assert_array_equal, eager, compiled)


def test_a_table_without_room_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        layouts.empty_layouts(0, 3)
