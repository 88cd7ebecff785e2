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


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("distance", [1, 2, 3])
def test_units_that_share_a_word_are_all_but_independent(rate, distance):
    dropped = np.asarray(dropout(KEY, jnp.ones((20_000, 4)), rate) == 0)
    both = np.mean(dropped[:, 0] & dropped[:, distance])
    # In a case of 256, one's own byte leaves the neighbour's to decide.
    dependent = 0 if distance == 2 else 1 / 256
    assert abs(both - rate**2) < dependent + 4 * np.sqrt(rate**2 / len(dropped))


def test_the_rate_is_kept_beyond_what_one_byte_can_say():
    rate = 0.3 + 0.4 / 256  # a byte would say 0.3008 or 0.3047
    dropped = np.mean(dropout(KEY, jnp.ones((2000, 2000)), rate) == 0)
    assert abs(dropped - rate) < 4 * np.sqrt(rate * (1 - rate) / 4e6)


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
