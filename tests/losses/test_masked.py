import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.losses.masked import masked_mean

VALUES = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
MASK = np.array([[True, False, True], [False, False, True]])


def test_it_is_the_mean_of_what_counts():
    np.testing.assert_allclose(
        masked_mean(VALUES, MASK), VALUES[MASK].mean(), rtol=1e-6
    )
    one = VALUES[..., 0]
    np.testing.assert_allclose(
        jax.jit(masked_mean)(one, MASK), one[MASK].mean(), rtol=1e-6
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_does_not_count_may_be_anything(bad):
    values = np.where(MASK[..., None], VALUES, bad)
    value, gradient = jax.value_and_grad(masked_mean)(jnp.asarray(values), MASK)
    np.testing.assert_allclose(value, VALUES[MASK].mean(), rtol=1e-6)
    np.testing.assert_allclose(gradient, MASK[..., None] / 12.0 * np.ones(4), rtol=1e-6)


def test_an_empty_mask_gives_zero_without_gradient():
    value, gradient = jax.value_and_grad(masked_mean)(
        jnp.asarray(VALUES), jnp.zeros((2, 3), bool)
    )
    assert value == 0 and (gradient == 0).all()


def test_half_precision_is_summed_in_float32():
    values = jnp.ones((300, 300), jnp.bfloat16)
    mean = masked_mean(values, jnp.ones((300, 300), bool))
    assert mean == 1 and mean.dtype == jnp.float32
