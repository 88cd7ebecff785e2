import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from jaxseg.metrics.foreground import UNIT, FMeasure
from tests.metrics.maps import count_all, labels, pair


def f_measure(truth, prediction, size=None, **options):
    measure = FMeasure(labels(5), **options)
    return measure.scores(count_all(measure, truth, prediction, size))["f_measure"]


@pytest.mark.parametrize("beta_squared", [0.3, 1.0, 4.0])
def test_equals_scikit_learn_picture_by_picture(beta_squared):
    truth, prediction = pair()
    expected = [
        sklearn.metrics.fbeta_score(t[t < 5] > 0, p[t < 5] > 0, beta=beta_squared**0.5)
        for t, p in zip(truth, prediction, strict=True)
    ]
    ours = f_measure(truth, prediction, beta_squared=beta_squared)
    assert ours == pytest.approx(np.mean(expected), abs=2 / UNIT)


def test_value_worked_out_by_hand():
    truth, prediction = np.array([[[1, 2, 0, 0]]]), np.array([[[2, 0, 3, 0]]])
    precision = recall = 1 / 2
    expected = 1.3 * precision * recall / (0.3 * precision + recall)
    assert f_measure(truth, prediction) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("truth, prediction", [(0, 1), (1, 0), (0, 0), (1, 7), (1, -1)])
def test_no_foreground_in_either_is_zero(truth, prediction):
    shape = (1, 2, 3)
    assert f_measure(np.full(shape, truth), np.full(shape, prediction)) == 0


def test_another_background():
    truth, prediction = pair()
    swap = np.array([3, 1, 2, 0, 4] + [255] * 251)
    ours = f_measure(swap[truth], swap[prediction], background=3)
    assert ours == f_measure(truth, prediction)


def test_no_picture_is_nan():
    assert np.isnan(f_measure(np.full((1, 2, 2), 255), np.ones((1, 2, 2), int)))


def test_unlabelled_pictures_can_count_as_zero_and_fillers_never():
    truth, prediction = np.ones((3, 2, 2), int), np.ones((3, 2, 2), int)
    truth[1:] = 255  # the last has no size: it is no picture
    size = jnp.array([[2, 2], [2, 2], [0, 0]])
    assert f_measure(truth, prediction, size) == 1
    assert f_measure(truth, prediction, size, with_unlabelled=True) == 0.5


def test_unlabelled_pictures_need_sizes():
    with pytest.raises(ValueError, match="size of each picture"):
        f_measure(*pair(), with_unlabelled=True)


def test_more_pictures_than_int32_can_add_are_refused():
    with pytest.raises(ValueError, match="2000"):
        f_measure(np.zeros((2001, 1, 1), int), np.zeros((2001, 1, 1), int))
