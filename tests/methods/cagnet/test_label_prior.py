import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxseg.data.labels import VOC
from jaxseg.methods.cagnet.label_prior import log_prior, sample_labels

UNSEEN = ("pottedplant", "sheep", "sofa", "train", "tvmonitor")
LABELS = VOC.without(["background"]).with_unseen(UNSEEN)
KEY = jax.random.key(0)


@pytest.mark.parametrize("rate, mass", [(9, 0.769), (5, 0.667), (0, 0.25), (-1, 0)])
def test_the_mass_of_unseen_classes_is_the_published_one(rate, mass):
    prior = jnp.exp(log_prior(LABELS, rate))
    assert float(jnp.sum(prior[jnp.asarray(LABELS.unseen)])) == pytest.approx(
        mass, abs=5e-4
    )
    assert float(jnp.sum(prior)) == pytest.approx(1, abs=1e-6)


def test_labels_have_the_distribution_of_the_prior():
    prior = log_prior(LABELS, 9.0)
    drawn = sample_labels(KEY, (100, 200), prior)
    counts = np.bincount(drawn.ravel(), minlength=20)
    expected = np.asarray(jnp.exp(prior), np.float64) * drawn.size
    expected *= drawn.size / expected.sum()
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3
    assert drawn.dtype == jnp.int32


def test_a_ratio_changes_without_compiling_again():
    traces = []

    @jax.jit
    def draw(key, rate):
        traces.append(rate)
        return sample_labels(key, (50,), log_prior(LABELS, rate))

    many, none = (draw(KEY, jnp.float32(rate)) for rate in (99.0, -1.0))
    assert len(traces) == 1
    assert np.isin(many, LABELS.unseen).mean() > 0.8
    assert not np.isin(none, LABELS.unseen).any()


def test_classes_without_probability_are_never_drawn():
    prior = jnp.asarray([-jnp.inf, 0.0, -jnp.inf, 0.0, -jnp.inf])
    assert set(np.unique(sample_labels(KEY, (5000,), prior))) == {1, 3}
    assert sample_labels(KEY, (0, 3), prior).shape == (0, 3)


def test_jit_draws_what_eager_draws():
    prior = log_prior(LABELS, 9.0)
    compiled = jax.jit(sample_labels, static_argnums=1)(KEY, (7, 5), prior)
    np.testing.assert_array_equal(compiled, sample_labels(KEY, (7, 5), prior))


def test_what_cannot_be_synthesised_is_refused():
    with pytest.raises(ValueError, match="no unseen classes"):
        log_prior(dataclasses.replace(LABELS, seen=(), unseen=()), 9.0)
    with pytest.raises(ValueError, match="at least -1"):
        log_prior(LABELS, -2.0)
