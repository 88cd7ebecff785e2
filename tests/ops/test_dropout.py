import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops.dropout import dropout

KEY = jax.random.key(0)
ROWS = jnp.ones((500, 401))


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_the_rate_of_zeros_is_asked_for(rate):
    dropped = np.mean(dropout(KEY, ROWS, rate) == 0)
    deviation = np.sqrt(rate * (1 - rate) / ROWS.size)
    assert abs(dropped - rate) < 4 * deviation


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_what_is_kept_is_scaled_up(rate):
    kept = np.asarray(dropout(KEY, ROWS, rate))
    np.testing.assert_allclose(kept[kept > 0], 1 / (1 - rate), rtol=2e-5)


def test_neighbours_that_share_a_word_are_independent():
    dropped = np.asarray(dropout(KEY, jnp.ones((20_000, 2)), 0.5) == 0)
    both = np.mean(dropped.all(axis=1))
    assert abs(both - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(dropped))


def test_bounds():
    assert jnp.all(dropout(KEY, ROWS, 0.0) == ROWS)
    assert jnp.all(dropout(KEY, ROWS, 1.0) == 0)
    assert dropout(KEY, jnp.zeros((0, 3)), 0.5).shape == (0, 3)
    with pytest.raises(ValueError, match="within 0..1"):
        dropout(KEY, ROWS, 1.5)


def test_jit_and_gradient_have_the_same_mask():
    rows = jnp.linspace(1.0, 2.0, 60, dtype="bfloat16").reshape(4, 15)
    eager = dropout(KEY, rows, 0.3)
    compiled = jax.jit(dropout, static_argnums=2)(KEY, rows, 0.3)
    gradient = jax.grad(lambda x: jnp.sum(dropout(KEY, x, 0.3)))(rows)
    assert eager.dtype == jnp.bfloat16 and jnp.all(eager == compiled)
    np.testing.assert_array_equal(gradient == 0, eager == 0)
