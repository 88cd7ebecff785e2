import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.metrics import distance_matching
from jaxseg.metrics.distance_matching import instance_embeddings, nearest_votes


def test_embeddings_equal_a_loop_over_instances():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 5, 6, 4)).astype(np.float32)
    ids = rng.integers(0, 4, (3, 5, 6))
    ids[ids == 3] = 1000
    ours, present = instance_embeddings(features, ids, num_classes=4)
    for b in range(3):
        for c in range(4):
            expected = np.mean(features[b] * (ids[b] == c)[..., None], axis=(0, 1))
            np.testing.assert_allclose(ours[b, c], expected, atol=1e-6)
            assert present[b, c] == np.any(ids[b] == c)


def slow_votes(queries, bank, ids, num_classes, k, temperature):
    votes = np.zeros((len(queries), num_classes))
    bank = bank / np.linalg.norm(bank, axis=1, keepdims=True)
    for n, query in enumerate(queries / np.linalg.norm(queries, axis=1, keepdims=True)):
        similarity = bank @ query
        for entry in np.argsort(-similarity)[:k]:
            votes[n, ids[entry]] += np.exp(similarity[entry] / temperature)
    return votes


@pytest.mark.parametrize("chunk", [8, 50, 1024])
def test_votes_equal_a_loop_over_neighbours(chunk, monkeypatch):
    monkeypatch.setattr(distance_matching, "CHUNK", chunk)
    rng = np.random.default_rng(1)
    queries, bank = rng.normal(size=(50, 6)), rng.normal(size=(30, 6))
    ids = rng.integers(0, 5, 30)
    votes = jax.jit(nearest_votes, static_argnames=("num_classes", "num_neighbours"))(
        jnp.asarray(queries), bank, ids, num_classes=5, num_neighbours=7
    )
    expected = slow_votes(queries, bank, ids, 5, 7, 0.07)
    np.testing.assert_allclose(votes, expected, rtol=1e-3)


def test_lengths_of_vectors_do_not_matter():
    rng = np.random.default_rng(2)
    queries, bank = rng.normal(size=(9, 4)), rng.normal(size=(12, 4))
    ids, options = np.arange(12) % 3, dict(num_classes=3, num_neighbours=4)
    votes = nearest_votes(queries, bank, ids, **options)
    scaled = nearest_votes(5 * queries, 0.1 * bank, ids, **options)
    np.testing.assert_allclose(votes, scaled, rtol=1e-4)


def test_a_vector_of_the_bank_finds_itself():
    bank = jnp.eye(6)
    votes = nearest_votes(bank, bank, jnp.arange(6), num_classes=6, num_neighbours=1)
    np.testing.assert_array_equal(jnp.argmax(votes, axis=1), np.arange(6))


def test_a_vector_of_zeros_is_no_nan():
    votes = nearest_votes(
        jnp.zeros((1, 3)), jnp.eye(3), jnp.arange(3), num_classes=3, num_neighbours=2
    )
    assert np.all(np.isfinite(votes))


def test_too_small_a_bank_is_refused():
    with pytest.raises(ValueError, match="bank of 3"):
        nearest_votes(jnp.eye(3), jnp.eye(3), jnp.arange(3), num_classes=3)
