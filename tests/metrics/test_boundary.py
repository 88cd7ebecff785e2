import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxseg.metrics.boundary import BoundaryIoU, boundary, thickness
from tests.metrics.maps import blobs, count_all, labels, pair


def eroded_strips(ids, reach):
    """The definition, class by class: each mask without its erosion."""
    square, strips = np.ones((2 * reach + 1, 2 * reach + 1)), np.zeros(ids.shape, bool)
    for value in np.unique(ids):
        mask = ids == value
        strips |= mask & ~scipy.ndimage.binary_erosion(mask, square, border_value=0)
    return strips


def slow_counts(truth, prediction, ratio, num_classes):
    """Strips of whole maps first, then unlabelled pixels go."""
    counts = np.zeros((3, num_classes), int)
    for t, p in zip(truth, prediction, strict=True):
        reach = max(1, round(ratio * math.hypot(*t.shape)))
        of_t, of_p = eroded_strips(t, reach), eroded_strips(p, reach)
        for c in range(num_classes):
            is_t, is_p = of_t & (t == c), of_p & (p == c) & (t < num_classes)
            counts[:, c] += is_t.sum(), is_p.sum(), (is_t & is_p).sum()
    return counts


@pytest.mark.parametrize("reach", [1, 2, 5, 30])
@pytest.mark.parametrize("cell", [1, 7, 13])
def test_strips_equal_an_erosion_of_each_class(reach, cell):
    ids = blobs(reach, (2, 37, 29), 3, cell=cell)
    size = jnp.array([[37, 29]] * 2)
    strips = jax.jit(boundary)(ids, jnp.array([reach] * 2), size)
    expected = [eroded_strips(each, reach) for each in ids]
    np.testing.assert_array_equal(strips, expected)


def test_pictures_of_a_batch_have_sizes_and_widths_of_their_own():
    ids = blobs(0, (3, 40, 30), 2, cell=17)
    size, reach = jnp.array([[40, 30], [21, 30], [33, 9]]), jnp.array([4, 1, 2])
    strips = np.asarray(jax.jit(boundary)(ids, reach, size))
    for i, (height, width) in enumerate(size.tolist()):
        expected = eroded_strips(ids[i, :height, :width], int(reach[i]))
        np.testing.assert_array_equal(strips[i, :height, :width], expected)
        assert strips[i].sum() == expected.sum()  # nothing outside


def test_strip_of_a_square_worked_out_by_hand():
    ids = np.zeros((9, 9), int)
    ids[3:6, 3:6] = 1
    strips = boundary(ids[None], jnp.array([1]), jnp.array([[9, 9]]))[0]
    expected = np.ones((9, 9), bool)  # the picture's frame and the square's rim
    expected[1:8, 1:8] = False
    expected[2:7, 2:7] = True
    expected[4, 4] = False
    np.testing.assert_array_equal(strips, expected)


@pytest.mark.parametrize("ratio", [0.005, 0.02, 0.03, 0.25])
def test_width_is_the_rounded_share_of_the_diagonal(ratio):
    size = np.random.default_rng(0).integers(1, 2049, (300, 2))
    size = np.concatenate([size, [[1, 1], [3, 4], [30, 40], [1024, 2048]]])
    width = thickness(jnp.array(size), ratio=ratio, canvas=(2048, 2048))
    expected = [max(1, round(ratio * math.sqrt(h * h + w * w))) for h, w in size]
    np.testing.assert_array_equal(width, expected)


def test_width_of_a_huge_picture():
    width = thickness(jnp.array([[9000, 12000]]), ratio=0.03, canvas=(9000, 12000))
    assert width[0] == 450


def test_half_a_pixel_rounds_to_even():
    size = jnp.array([[30, 40], [90, 120]])  # diagonals 50 and 150: 2.5 and 7.5
    width = thickness(size, ratio=0.05, canvas=(90, 120))
    np.testing.assert_array_equal(width, [2, 8])


@pytest.mark.parametrize("ratio", [0.02, 0.1])
def test_counts_equal_the_definition_with_unlabelled_pixels(ratio):
    truth, prediction = pair(3, (3, 31, 40), 4)
    counts = count_all(BoundaryIoU(labels(4), ratio=ratio), truth, prediction)
    np.testing.assert_array_equal(counts, slow_counts(truth, prediction, ratio, 4))


def test_scores_worked_out_by_hand():
    truth = np.zeros((1, 9, 9), int)
    truth[0, 3:6, 3:6] = 1
    prediction = np.zeros_like(truth)
    prediction[0, 3:6, 4:7] = 1  # one column to the right
    measure = BoundaryIoU(labels(3))
    scores = measure.scores(count_all(measure, truth, prediction))
    # Rims of 8 pixels share the top and bottom rows' 4; the backgrounds' strips are
    # 32 of the frame and 16 around the square, of which 8 are shared.
    expected = [(32 + 8) / (32 + 16 + 8), 4 / 12, np.nan]
    np.testing.assert_allclose(scores["class_boundary_iou"], expected)
    assert scores["mean_boundary_iou"] == pytest.approx(np.mean(expected[:2]))


def test_absent_classes_can_count_as_zero():
    truth = np.zeros((1, 5, 5), int)
    measure = BoundaryIoU(labels(4), absent_as_zero=True)
    scores = measure.scores(count_all(measure, truth, truth))
    np.testing.assert_array_equal(scores["class_boundary_iou"], [1, 0, 0, 0])
    assert scores["mean_boundary_iou"] == 0.25


def test_a_class_ends_at_unlabelled_pixels():
    truth = np.zeros((1, 9, 9), int)
    truth[0, :, 6:] = 255
    counts = count_all(BoundaryIoU(labels(1), ratio=0.01), truth, 0 * truth)
    assert counts.truth[0] == 9 * 6 - 7 * 4  # a strip along columns 0 and 5
    assert counts.prediction[0] == 9 * 6 - 7 * 5  # none at column 5


def test_different_unlabelled_ids_are_one():
    truth = blobs(0, (1, 20, 20), 2, cell=7)
    truth[0, 5:15, 5:15] = 255
    other = truth.copy()
    other[0, 8:12, 8:12] = -1
    measure, prediction = BoundaryIoU(labels(2)), blobs(1, (1, 20, 20), 2)
    first, second = (count_all(measure, t, prediction) for t in (truth, other))
    np.testing.assert_array_equal(first, second)
