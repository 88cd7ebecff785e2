import io

import numpy as np
from PIL import Image

from jaxseg.reporting import confusions

CONFUSION = np.array([[8, 2, 0], [1, 1, 2], [0, 0, 0]])


def opacity(confusion):
    picture = Image.open(io.BytesIO(confusions.heat_map(confusion)))
    return np.asarray(picture)[..., 3]


def test_rates_are_shares_of_a_row():
    expected = [[0.8, 0.2, 0], [0.25, 0.25, 0.5], [0, 0, 0]]
    np.testing.assert_allclose(confusions.rates(CONFUSION), expected)


def test_the_worst_pairs_come_first():
    pairs = confusions.worst_pairs(CONFUSION)
    assert pairs == [(1, 2, 0.5, 2), (1, 0, 0.25, 1), (0, 1, 0.2, 2)]
    assert confusions.worst_pairs(CONFUSION, limit=1) == pairs[:1]


def test_nothing_wrong_is_no_pair():
    assert confusions.worst_pairs(np.diag([3, 4, 0])) == []
    assert confusions.worst_pairs(np.zeros((3, 3), int)) == []


def test_a_class_of_a_few_pixels_says_nothing():
    few = np.array([[99_999, 1_000], [1, 0]])
    assert confusions.worst_pairs(few) == [(0, 1, 1_000 / 100_999, 1_000)]


def test_the_heat_map_has_a_pixel_a_cell_opaque_where_all_is():
    alpha = opacity(np.array([[4, 0], [3, 1]]))
    np.testing.assert_array_equal(alpha, [[255, 0], [255 * 14 // 16, 255 * 8 // 16]])


def test_a_heat_map_of_many_classes_keeps_the_hot_cells():
    confusion = np.zeros((919, 919), np.int64)
    confusion[918, 2] = confusion[0, 0] = 7
    alpha = opacity(confusion)
    assert alpha.shape == (307, 307)
    assert np.argwhere(alpha).tolist() == [[0, 0], [306, 0]]
