import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.metrics.matching import MatchedIoU
from jaxseg.metrics.threshold_curve import ThresholdCurve, background_below
from tests.metrics.maps import count_all, labels, pair, sums

THRESHOLDS = (0.0, 0.3, 0.45, 0.6, 1.0)


def scored_pair(seed=0):
    truth, prediction = pair(seed, (6, 13, 11), 4)
    score = np.random.default_rng(seed).random(truth.shape).astype(np.float32)
    score.flat[::7] = np.float32(0.3)  # a score may be the threshold itself
    return truth, prediction, score


def curve_of(truth, prediction, score, **options):
    curve = ThresholdCurve(labels(4), THRESHOLDS, **options)
    return curve.scores(sums(jax.jit(curve.count)(truth, prediction, score)))


@pytest.mark.parametrize("absent_as_zero", [False, True])
def test_one_pass_equals_a_pass_per_threshold(absent_as_zero):
    truth, prediction, score = scored_pair()
    ours = curve_of(truth, prediction, score, absent_as_zero=absent_as_zero)
    measure = MatchedIoU(
        labels(4), by="pictures", background=0, absent_as_zero=absent_as_zero
    )
    for index, threshold in enumerate(THRESHOLDS):
        at = background_below(jnp.asarray(prediction), jnp.asarray(score), threshold)
        expected = measure.scores(count_all(measure, truth, at))
        mean = expected["matched_mean_iou"]
        np.testing.assert_array_equal(ours["curve_match"][index], expected["match"])
        np.testing.assert_allclose(ours["curve_mean_iou"][index], mean)


def test_the_best_threshold_has_the_highest_mean():
    scores = curve_of(*scored_pair(1))
    best = np.argmax(scores["curve_mean_iou"])
    assert scores["best_threshold"] == THRESHOLDS[best]


def test_splitting_a_batch_changes_nothing():
    maps = scored_pair(2)
    curve = ThresholdCurve(labels(4), THRESHOLDS)
    parts = [
        curve.count(*(m[rows] for m in maps)) for rows in np.split(np.arange(6), 3)
    ]
    whole = sums(curve.count(*maps))
    for ours, theirs in zip(sums(*parts), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_score_equal_to_the_threshold_stays():
    scores = jnp.array([0.29, 0.3, 0.31], jnp.float32)
    ids = background_below(jnp.array([2, 2, 2]), scores, 0.3)
    np.testing.assert_array_equal(ids, [0, 2, 2])


def test_nothing_labelled_gives_nan_and_the_first_threshold(recwarn):
    truth, prediction, score = scored_pair()
    scores = curve_of(np.full_like(truth, 255), prediction, score)
    assert np.all(np.isnan(scores["curve_mean_iou"]))
    assert scores["best_threshold"] == THRESHOLDS[0]
    assert not recwarn.list


@pytest.mark.parametrize("thresholds", [(), (0.5, 0.2)])
def test_thresholds_must_ascend(thresholds):
    with pytest.raises(ValueError, match="ascend"):
        ThresholdCurve(labels(4), thresholds)
