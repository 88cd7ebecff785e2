import numpy as np
import pytest
from sklearn.metrics import pairwise, silhouette_score

from jaxseg.metrics.separation import separation


def clusters(spread, rng=0):
    """Vectors of 4 classes of 3 to 30 members around four directions."""
    rng = np.random.default_rng(rng)
    classes = np.repeat([7, 2, 5, 0], (3, 30, 12, 20))
    centres = rng.normal(size=(8, 16))
    return centres[classes] + spread * rng.normal(size=(65, 16)), classes


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_the_silhouette_is_scikit_learns(spread):
    vectors, classes = clusters(spread)
    expected = silhouette_score(vectors, classes, metric="cosine")
    assert separation(vectors, classes).silhouette == pytest.approx(expected, abs=1e-9)


def test_mean_cosines_are_those_of_all_pairs():
    vectors, classes = clusters(1.0)
    cosines = pairwise.cosine_similarity(vectors)
    np.fill_diagonal(cosines, np.nan)
    found = np.unique(classes)
    means = np.array(
        [
            [np.nanmean(cosines[classes == a][:, classes == b]) for b in found]
            for a in found
        ]
    )
    result = separation(vectors, classes)
    assert result.within == pytest.approx(np.diag(means).mean())
    assert result.between == pytest.approx(means[~np.eye(4, dtype=bool)].mean())


def test_opposite_points_are_as_far_apart_as_can_be():
    vectors = np.array([[1.0, 0], [2, 0], [-1, 0], [-3, 0]])
    assert separation(vectors, np.array([1, 1, 4, 4])) == (1.0, 1.0, -1.0)


def test_the_only_one_of_its_class_counts_as_zero():
    vectors = np.array([[1.0, 0], [1, 0.1], [0, 1]])
    classes = np.array([0, 0, 1])
    expected = silhouette_score(vectors, classes, metric="cosine")
    assert separation(vectors, classes).silhouette == pytest.approx(expected)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_one_class_alone_has_no_separation(count):
    assert np.isnan(separation(np.ones((count, 2)), np.zeros(count, int))).all()


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(4,\)"):
        separation(np.ones((3, 2)), np.zeros(4, int))
