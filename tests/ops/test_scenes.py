import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.ops import scenes

KEY = jax.random.key(0)


def test_scenes_hold_up_to_six_shapes_and_some_hold_none():
    labels = np.asarray(scenes.draw(KEY, 64, 24))
    assert labels.shape == (64, 24, 24) and labels.min() == 0 and labels.max() == 6
    numbers = [len(np.unique(window)) - 1 for window in labels]
    assert 0 in numbers and max(numbers) >= 4


def test_the_key_alone_decides():
    drawn = [scenes.draw(key, 4, 16) for key in (KEY, KEY, jax.random.key(1))]
    compiled = jax.jit(scenes.draw, static_argnums=(1, 2))(KEY, 4, 16)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], compiled)
    assert (drawn[0] != drawn[2]).any()


def test_a_finer_map_shows_the_same_scene():
    coarse, fine = (scenes.draw(KEY, 16, size) for size in (16, 48))
    # The middle of three pixels lies where the pixel of the coarse map does.
    np.testing.assert_array_equal(coarse, fine[:, 1::3, 1::3])


def test_shapes_are_ellipses_and_rectangles():
    labels = np.asarray(scenes.draw(KEY, 200, 32, most=1))
    filled = []
    for window in labels == 1:
        rows, columns = (np.flatnonzero(window.any(axis)) for axis in (1, 0))
        whole = len(rows) > 6 and len(columns) > 6
        inside = whole and min(rows[0], columns[0]) > 0
        if inside and max(rows[-1], columns[-1]) < 31:
            box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
            filled.append(window.sum() / box)
    is_full = np.array(filled) == 1
    assert is_full.any() and np.allclose(
        np.array(filled)[~is_full], np.pi / 4, atol=0.1
    )


def test_windows_are_parts_of_their_own_picture():
    labels = jnp.arange(3 * 30 * 40).reshape(3, 30, 40)
    cut = np.asarray(scenes.windows(KEY, labels, per_picture=5, size=6))
    assert cut.shape == (15, 6, 6)
    picture, place = np.divmod(cut, 1200)
    np.testing.assert_array_equal(
        picture, np.repeat(range(3), 5)[:, None, None] + 0 * cut
    )
    rows, columns = np.divmod(place, 40)
    steps = np.diff(rows[:, :, 0], axis=1), np.diff(columns[:, 0], axis=1)
    for step in steps:  # windows of 6 to 24 pixels, shrunk to 6
        assert step.min() >= 1 and step.max() <= 4
    assert np.ptp(rows, axis=2).max() == 0 and np.ptp(columns, axis=1).max() == 0


def test_maps_smaller_than_a_window_are_enlarged():
    labels = jnp.arange(12).reshape(1, 3, 4)
    cut = np.asarray(scenes.windows(KEY, labels, per_picture=2, size=9))
    assert cut.shape == (2, 9, 9) and len(np.unique(cut[0])) == 9
