import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from sklearn.metrics import r2_score

from jaxseg.metrics.transforms import explained, rank_correlation

RNG = np.random.default_rng(0)
TRUE = RNG.normal(size=(40, 4)).astype(np.float32)
FOUND = (0.7 * TRUE + 0.4 * RNG.normal(size=(40, 4))).astype(np.float32)
COUNTS = RNG.random(40) < 0.6


def test_it_is_r_squared_of_each_parameter():
    ours = jax.jit(explained)(FOUND, TRUE, COUNTS)
    expected = r2_score(TRUE[COUNTS], FOUND[COUNTS], multioutput="raw_values")
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    np.testing.assert_allclose(ours, explained(FOUND, TRUE, COUNTS), rtol=1e-5)


def test_too_few_rows_explain_nothing():
    for counts in (np.zeros(40, bool), np.arange(40) == 3):
        assert (explained(FOUND, TRUE, jnp.asarray(counts)) == 0).all()


def test_it_is_spearmans_with_ties():
    one, other = TRUE[:, 0], np.round(2 * FOUND[:, 0])
    ours = rank_correlation(jnp.asarray(one), jnp.asarray(other))
    np.testing.assert_allclose(ours, stats.spearmanr(one, other).statistic, rtol=1e-5)
