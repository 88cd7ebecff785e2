import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.metrics.fold import FoldIoU, as_ids
from tests.metrics.maps import count_all, labels, pair


def episodes(seed, classes):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(0, 2, (2, len(classes), 6, 7))
    truth[rng.random(truth.shape) < 0.1] = 255
    return truth, prediction


def slow_scores(truth, prediction, classes, fold, *, void_counts=False):
    """Per episode as HSNet's evaluator: bins of class, of both rows."""
    inter, union = np.zeros((2, 21)), np.zeros((2, 21))
    for t, p, c in zip(truth, prediction, classes, strict=True):
        for row in (0, 1):
            both = (t == row) & (p == row)
            either = ((t == row) | (p == row)) & ((t != 255) | void_counts)
            inter[row, c] += both.sum()
            union[row, c] += either.sum()
    inter, union = inter[:, fold], union[:, fold]
    fb_iou = np.mean(inter.sum(axis=1) / union.sum(axis=1))
    return inter[1] / np.maximum(union[1], 1), fb_iou


def scores_of(measure, truth, prediction, classes):
    truth, prediction = (
        as_ids(jnp.asarray(maps), jnp.asarray(classes)) for maps in (truth, prediction)
    )
    return measure.scores(count_all(measure, truth, prediction))


@pytest.mark.parametrize("void", [False, True])
def test_equals_a_loop_over_episodes(void):
    classes, fold = [6, 7, 6, 9, 10, 9], [6, 7, 8, 9, 10]
    truth, prediction = episodes(0, classes)
    truth[1] = 255  # the prediction alone tells the class
    truth[3][truth[3] == 1] = 255
    measure = FoldIoU(labels(21), classes=tuple(fold), void_predictions=void)
    scores = scores_of(measure, truth, prediction, classes)
    rows, fb_iou = slow_scores(truth, prediction, classes, fold, void_counts=void)
    np.testing.assert_allclose(scores["class_fold_iou"][fold], rows)
    assert scores["fold_mean_iou"] == pytest.approx(rows.mean())
    assert scores["fb_iou"] == pytest.approx(fb_iou)


def test_scores_worked_out_by_hand():
    truth = [[[1, 1, 0, 255]], [[1, 0, 0, 0]]]
    prediction = [[[1, 0, 0, 1]], [[1, 1, 0, 0]]]
    measure = FoldIoU(labels(4), classes=(2, 3))
    scores = scores_of(measure, np.array(truth), np.array(prediction), [2, 3])
    np.testing.assert_allclose(scores["class_fold_iou"], [np.nan, np.nan, 0.5, 0.5])
    assert scores["fold_mean_iou"] == 0.5
    assert scores["fb_iou"] == pytest.approx((3 / 5 + 2 / 4) / 2)


def test_predictions_on_padding_never_count():
    truth, prediction = np.full((2, 1, 4, 5), 255), np.ones((2, 1, 4, 5), int)
    truth[:, :, :2, :3] = 1
    truth[:, :, 1, 2] = 255  # void in the picture
    measure = FoldIoU(labels(4), classes=(1,), void_predictions=True)
    size = jnp.array([[2, 3]])
    counts = measure.count(jnp.asarray(truth[0]), jnp.asarray(prediction[0]), size)
    np.testing.assert_array_equal(counts.prediction, [0, 6, 0, 0])
    np.testing.assert_array_equal(counts.truth, [0, 5, 0, 0])
    none = measure.count(jnp.asarray(truth[0]), jnp.asarray(prediction[0]), size * 0)
    np.testing.assert_array_equal(none.prediction, [0, 5, 0, 0])


def test_a_class_without_episodes_counts_as_zero():
    ones = np.ones((1, 2, 2), int)
    measure = FoldIoU(labels(4), classes=(1, 2))
    assert scores_of(measure, ones, ones, [1])["fold_mean_iou"] == 0.5


def test_unseen_classes_are_the_fold_by_default():
    measure = FoldIoU(labels(4, seen=(0, 2), unseen=(1, 3)))
    assert measure.fold == (1, 3)


def test_whole_masks_score_as_the_episodes_of_all_their_classes():
    fold = (2, 4)
    truth, prediction = pair(3, num_classes=6)
    made = [
        (np.where(t == 255, 255, t == c), p == c, c)
        for t, p in zip(truth, prediction, strict=True)
        for c in fold
        if (t == c).any()
    ]
    truths, predictions, classes = zip(*made, strict=True)
    rows, fb_iou = slow_scores(truths, predictions, classes, list(fold))
    measure = FoldIoU(labels(6), classes=fold)
    scores = measure.scores(count_all(measure, truth, prediction))
    np.testing.assert_allclose(scores["class_fold_iou"][list(fold)], rows)
    assert scores["fb_iou"] == pytest.approx(fb_iou)


def test_classes_outside_of_the_fold_are_background():
    truth, prediction = pair(4, num_classes=6)
    measure = FoldIoU(labels(6), classes=(2, 4))

    def without(ids):
        return np.where(np.isin(ids, (1, 3, 5)), 0, ids)

    whole = measure.scores(count_all(measure, truth, prediction))
    plain = measure.scores(count_all(measure, without(truth), without(prediction)))
    np.testing.assert_equal(whole, plain)


def test_an_episode_may_lack_its_class():
    truth = np.array([[[0, 0, 255]], [[0, 0, 255]], [[1, 0, 0]]])
    prediction = np.array([[[1, 0, 1]], [[0, 0, 1]], [[1, 0, 0]]])
    measure = FoldIoU(labels(4), classes=(2, 3))
    scores = scores_of(measure, truth, prediction, [2, 3, 3])
    rows, fb_iou = slow_scores(truth, prediction, [2, 3, 3], [2, 3])
    np.testing.assert_allclose(scores["class_fold_iou"][2:], rows)
    assert scores["fb_iou"] == pytest.approx(fb_iou)


def test_a_batch_too_large_to_count_in_is_refused():
    ids = jax.ShapeDtypeStruct((2**10, 2**10, 2**10), np.int32)
    measure = FoldIoU(labels(4), classes=(1, 2))
    with pytest.raises(ValueError, match="lower batch_size"):
        jax.eval_shape(measure.count, ids, ids)


@pytest.mark.parametrize("classes", [(), (0, 1), (4,), (-1,)])
def test_a_fold_of_no_or_wrong_classes_is_refused(classes):
    with pytest.raises(ValueError, match="a fold needs classes below 4"):
        FoldIoU(labels(4), classes=classes)


def test_ids_of_episodes_worked_out_by_hand():
    binary = jnp.array([[[0, 1, 255]], [[1, 1, -1]]], jnp.int32)
    ids = as_ids(binary, jnp.array([1, 7]))
    np.testing.assert_array_equal(ids, [[[0, 1, 255]], [[7, 7, -1]]])


def test_background_may_have_another_id():
    ids = as_ids(jnp.array([[[0, 1]]]), jnp.array([0]), background=3)
    np.testing.assert_array_equal(ids, [[[3, 0]]])
