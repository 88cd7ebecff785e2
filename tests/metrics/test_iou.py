import numpy as np
import pytest
import sklearn.metrics

from jaxseg.metrics import iou

# Class 2 is in the truth but never predicted, class 3 the other way round, class 4 in
# neither.
CONFUSION = np.array(
    [[6, 2, 0, 0, 0], [1, 8, 0, 1, 0], [2, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0] * 5]
)


def test_scores_worked_out_by_hand():
    scores = iou.scores(CONFUSION)
    np.testing.assert_allclose(scores["class_iou"], [6 / 11, 8 / 12, 0, 0, np.nan])
    np.testing.assert_allclose(
        scores["class_accuracy"], [6 / 8, 8 / 10, 0, np.nan, np.nan]
    )
    np.testing.assert_allclose(scores["class_share"], [0.4, 0.5, 0.1, 0, 0])
    assert scores["mean_iou"] == pytest.approx((6 / 11 + 8 / 12) / 4)
    assert scores["mean_accuracy"] == pytest.approx((6 / 8 + 8 / 10) / 3)
    assert scores["pixel_accuracy"] == pytest.approx(14 / 20)
    assert scores["frequency_weighted_iou"] == pytest.approx(
        0.4 * 6 / 11 + 0.5 * 8 / 12
    )


def test_absent_classes_can_count_as_zero():
    scores = iou.scores(CONFUSION, absent_as_zero=True)
    assert scores["mean_iou"] == pytest.approx((6 / 11 + 8 / 12) / 5)
    assert scores["mean_accuracy"] == pytest.approx((6 / 8 + 8 / 10) / 5)


def test_equal_to_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 7, (2, 500))
    confusion = np.zeros((7, 7), int)
    np.add.at(confusion, (truth, predicted), 1)
    expected = [
        np.sum((truth == c) & (predicted == c))
        / np.sum((truth == c) | (predicted == c))
        for c in range(7)
    ]
    scores = iou.scores(confusion)
    np.testing.assert_allclose(scores["class_iou"], expected)
    assert scores["pixel_accuracy"] == pytest.approx(np.mean(truth == predicted))


def test_one_pixel_among_2_to_the_40_is_seen():
    confusion = np.array([[2**40, 1], [0, 2**40]])
    scores = iou.scores(confusion)
    assert scores["class_iou"][0] == 2**40 / (2**40 + 1)
    assert scores["pixel_accuracy"] < 1


def test_permuting_classes_permutes_scores():
    order = np.array([3, 1, 4, 0, 2])
    scores, permuted = iou.scores(CONFUSION), iou.scores(CONFUSION[order][:, order])
    np.testing.assert_array_equal(permuted["class_iou"], scores["class_iou"][order])
    assert permuted["mean_iou"] == pytest.approx(scores["mean_iou"])


def test_perfect_prediction_scores_one():
    scores = iou.scores(np.diag([3, 4, 5]), seen=(0, 1), unseen=(2,))
    for name in ("mean_iou", "pixel_accuracy", "mean_accuracy", "harmonic_iou"):
        assert scores[name] == 1


def test_no_labelled_pixel_gives_nan_without_a_warning(recwarn):
    scores = iou.scores(np.zeros((3, 3), np.int64), seen=(0,), unseen=(1, 2))
    assert np.isnan(scores["mean_iou"]) and np.isnan(scores["pixel_accuracy"])
    assert scores["frequency_weighted_iou"] == 0
    assert scores["harmonic_iou"] == 0
    assert not recwarn.list


def test_a_group_without_labelled_pixels_has_no_part_of_the_weighted_iou():
    confusion = np.array([[5, 1, 1], [0, 3, 2], [0, 0, 0]])
    scores = iou.scores(confusion, seen=(0, 1), unseen=(2,))
    assert scores["unseen_frequency_weighted_iou"] == 0
    assert scores["seen_frequency_weighted_iou"] == scores["frequency_weighted_iou"]
    assert scores["unseen_iou"] == 0 and np.isnan(scores["unseen_pixel_accuracy"])


def test_groups_share_one_matrix():
    scores = iou.scores(CONFUSION, seen=(0, 2), unseen=(1,))
    assert scores["seen_iou"] == pytest.approx((6 / 11 + 0) / 2)
    assert scores["unseen_iou"] == pytest.approx(8 / 12)
    assert scores["seen_pixel_accuracy"] == pytest.approx(6 / 10)
    seen, unseen = scores["seen_iou"], scores["unseen_iou"]
    assert scores["harmonic_iou"] == pytest.approx(2 * seen * unseen / (seen + unseen))


@pytest.mark.parametrize("pair", [(0.0, 0.5), (0.5, 0.0), (np.nan, 0.5)])
def test_harmonic_mean_of_nothing_is_zero(pair):
    assert iou.harmonic_mean(*pair) == 0


def test_float_counts_are_refused():
    with pytest.raises(ValueError, match="2\\^24"):
        iou.scores(np.ones((2, 2), np.float32))


def test_seen_without_unseen_is_refused():
    with pytest.raises(ValueError, match="or neither"):
        iou.scores(CONFUSION, seen=(0,))


def test_equal_to_scikit_learn():
    rng = np.random.default_rng(1)
    truth, predicted = rng.integers(0, 6, (2, 400))
    scores = iou.scores(sklearn.metrics.confusion_matrix(truth, predicted))
    jaccard = sklearn.metrics.jaccard_score(truth, predicted, average=None)
    weighted = sklearn.metrics.jaccard_score(truth, predicted, average="weighted")
    balanced = sklearn.metrics.balanced_accuracy_score(truth, predicted)
    np.testing.assert_allclose(scores["class_iou"], jaccard)
    assert scores["frequency_weighted_iou"] == pytest.approx(weighted)
    assert scores["mean_accuracy"] == pytest.approx(balanced)
    accuracy = sklearn.metrics.accuracy_score(truth, predicted)
    assert scores["pixel_accuracy"] == pytest.approx(accuracy)


def test_what_is_predicted_as_no_class_is_wrong():
    scores = iou.scores(np.array([[3, 0, 1], [1, 2, 0]]))
    np.testing.assert_allclose(scores["class_iou"], [3 / 5, 2 / 3])
    assert scores["pixel_accuracy"] == pytest.approx(5 / 7)


def test_fewer_columns_than_rows_are_refused():
    with pytest.raises(ValueError, match=r"\[C, C\]"):
        iou.scores(np.ones((3, 2), int))


def test_one_class_is_always_right():
    one_class = iou.scores(np.array([[7]]))
    assert one_class["mean_iou"] == one_class["pixel_accuracy"] == 1
