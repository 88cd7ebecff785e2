import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.metrics import iou, matching
from jaxseg.metrics.confusion import confusion_matrix
from jaxseg.metrics.matching import MatchedIoU, match
from jaxseg.ops.assignment import assign
from tests.metrics.maps import count_all, labels, pair


def total(shared, classes):
    return sum(shared[k, c] for k, c in enumerate(classes) if c >= 0)


@pytest.mark.parametrize("shape", [(5, 5), (3, 5), (5, 3), (1, 4), (4, 1)])
def test_no_other_matching_shares_more(shape):
    shared = np.random.default_rng(0).integers(0, 9, shape)
    clusters, classes = shape
    wide = np.zeros((clusters, max(shape)), int)
    wide[:, :classes] = shared
    best = max(
        total(wide, order)
        for order in itertools.permutations(range(max(shape)), clusters)
    )
    found = match(shared)
    assert total(shared, found) == best
    used = found[found >= 0]
    assert len(set(used)) == len(used) == min(shape)


def test_equals_the_matching_of_ops():
    shared = np.random.default_rng(1).integers(0, 1000, (30, 30))
    theirs = np.asarray(assign(-jnp.asarray(shared, jnp.float32), 30))
    assert total(shared, match(shared)) == total(shared, theirs)


def test_counts_beyond_float32_decide():
    shared = np.array([[2**40, 2**40 + 1], [0, 0]])
    np.testing.assert_array_equal(match(shared), [1, 0])


def test_the_background_stands_for_itself():
    shared = np.array([[0, 0, 9], [8, 2, 1], [9, 1, 2]])
    np.testing.assert_array_equal(match(shared, background=0), [0, 1, 2])
    np.testing.assert_array_equal(match(shared), [2, 1, 0])


def test_shuffled_clusters_score_like_the_prediction():
    truth, prediction = pair(num_classes=5)
    clusters = np.array([3, 0, 4, 1, 2])[prediction]
    measure = MatchedIoU(labels(5))
    scores = measure.scores(count_all(measure, truth, clusters))
    expected = iou.scores(
        np.asarray(confusion_matrix(truth, prediction, num_classes=5))
    )
    assert scores["matched_mean_iou"] == expected["mean_iou"]
    assert scores["matched_pixel_accuracy"] == expected["pixel_accuracy"]
    np.testing.assert_array_equal(scores["match"], [1, 3, 4, 0, 2])


@pytest.mark.parametrize("num_clusters", [3, 5, 9])
def test_one_pass_scores_like_a_second_with_the_matching(num_clusters):
    truth, _ = pair(num_classes=5)
    clusters = np.random.default_rng(2).integers(0, num_clusters, truth.shape)
    measure = MatchedIoU(labels(5), num_clusters=num_clusters)
    scores = measure.scores(count_all(measure, truth, clusters))
    again = np.asarray(matching.relabel(clusters, scores["match"]))
    counted = truth < 5
    expected = [
        np.sum((truth == c) & (again == c))
        / np.sum(((truth == c) | (again == c)) & counted)
        for c in range(5)
    ]
    np.testing.assert_allclose(scores["class_matched_iou"], expected)


def test_matching_by_pictures_counts_presence_and_not_area():
    truth, clusters = np.zeros((3, 2, 4), int), np.zeros((3, 2, 4), int)
    truth[:, 0, 0], clusters[:, 1, 0] = 1, 1  # three pictures hold both, apart
    truth[0, 1], clusters[0, 1] = 2, 1  # one large overlap
    clusters[0, 0, 1] = 2
    measure = MatchedIoU(labels(3), by="pictures", background=0)
    totals = count_all(measure, truth, clusters)
    np.testing.assert_array_equal(totals.pictures[1:, 1:], [[3, 1], [1, 1]])
    np.testing.assert_array_equal(measure.scores(totals)["match"], [0, 1, 2])
    by_pixels = MatchedIoU(labels(3), background=0)
    np.testing.assert_array_equal(by_pixels.scores(totals)["match"], [0, 2, 1])


def test_clusters_on_unlabelled_pixels_are_not_there():
    truth, clusters = np.array([[[0, 1, 255]]]), np.array([[[0, 0, 1]]])
    counts = MatchedIoU(labels(2)).count(truth, clusters)
    np.testing.assert_array_equal(counts.pictures, [[1, 1], [0, 0]])
    np.testing.assert_array_equal(counts.confusion, [[1, 0], [1, 0]])


def test_pixels_of_clusters_without_a_class_are_wrong():
    confusion = np.array([[5, 2, 1], [0, 1, 6]])
    moved = matching.matched(confusion, np.array([0, -1, 1]))
    np.testing.assert_array_equal(moved, [[5, 1, 2], [0, 6, 1]])


def test_relabel_worked_out_by_hand():
    ids = jnp.array([0, 1, 2, 3, -1, 255], jnp.int32)
    ours = matching.relabel(ids, jnp.array([4, -1, 0]))
    np.testing.assert_array_equal(ours, [4, -1, 0, -1, -1, -1])


def test_nothing_counted_still_gives_a_matching():
    assert sorted(match(np.zeros((4, 4), int))) == [0, 1, 2, 3]


def test_another_way_to_count_is_refused():
    with pytest.raises(ValueError, match='"pixels" or "pictures"'):
        MatchedIoU(labels(2), by="images")
