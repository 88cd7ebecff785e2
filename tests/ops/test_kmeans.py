"""Clusters against scikit-learn's, and in cases where the best ones are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans

from jaxseg.ops import kmeans as ops

kmeans = jax.jit(ops.kmeans, static_argnames=("num_clusters", "restarts"))
KEY = jax.random.key(0)


@functools.cache
def blobs(seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, 4)) * 3
    points = centres[rng.integers(0, 5, 300)] + rng.normal(size=(300, 4))
    return points.astype(np.float32)


@pytest.mark.parametrize("num_clusters", [1, 3, 5])
def test_the_inertia_is_that_of_scikit_learn(num_clusters):
    theirs = KMeans(num_clusters, n_init=20, random_state=0).fit(blobs())
    ours = kmeans(blobs(), KEY, num_clusters=5, count=num_clusters, restarts=20)
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=2e-3)


def test_the_inertia_is_that_of_labels_and_centres():
    found = kmeans(jnp.asarray(blobs()), KEY, num_clusters=4)
    distance = ((blobs() - np.asarray(found.centres)[found.labels]) ** 2).sum()
    assert found.inertia == pytest.approx(distance, rel=1e-5)
    nearest = ((blobs()[:, None] - np.asarray(found.centres)) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal(found.labels, nearest)


def test_rows_that_do_not_count_change_nothing():
    points = jnp.asarray([[0.0], [0.1], [5.0], [5.2], [100.0]])
    valid = jnp.array([True] * 4 + [False])
    found = kmeans(points, KEY, num_clusters=2, valid=valid)
    assert found.labels[4] == -1
    assert found.labels[0] == found.labels[1] != found.labels[2] == found.labels[3]
    np.testing.assert_allclose(sorted(found.centres[:, 0]), [0.05, 5.1], rtol=1e-6)


def test_only_so_many_clusters_are_used_as_the_count_says():
    for count in (1, 2, 5):
        found = kmeans(blobs(), KEY, num_clusters=5, count=count, restarts=20)
        assert found.labels.max() == count - 1
        assert not found.centres[count:].any()


def test_fewer_rows_than_clusters_are_each_their_own():
    found = kmeans(jnp.array([[1.0], [2.0]]), KEY, num_clusters=4)
    assert found.inertia == 0 and found.labels[0] != found.labels[1]
    alike = kmeans(jnp.ones((6, 2)), KEY, num_clusters=3)
    assert alike.inertia == 0 and len(np.unique(alike.labels)) == 1


def test_no_row_that_counts_gives_no_label_and_no_nan():
    nothing = jnp.zeros(len(blobs()), bool)
    found = kmeans(jnp.asarray(blobs()), KEY, num_clusters=3, valid=nothing)
    assert (found.labels == -1).all() and found.inertia == 0
    assert np.isfinite(found.centres).all()


def test_the_same_key_gives_the_same_clusters_compiled_or_not():
    given = jnp.asarray(blobs()), KEY
    eager = ops.kmeans(*given, num_clusters=4)
    np.testing.assert_array_equal(eager.labels, kmeans(*given, num_clusters=4).labels)
