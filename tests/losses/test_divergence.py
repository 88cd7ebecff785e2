import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.losses.divergence import standard_normal_divergence

RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=(2, 3, 4)).astype(np.float32)
LOG_VARIANCE = RNG.normal(size=(2, 3, 4)).astype(np.float32)
MASK = np.array([[True, False, True], [False, False, True]])


def test_it_is_the_divergence_of_two_normal_distributions(torch):
    mean, log_variance = torch.tensor(MEAN), torch.tensor(LOG_VARIANCE)
    mean.requires_grad_(), log_variance.requires_grad_()
    normal = torch.distributions.Normal
    each = torch.distributions.kl_divergence(
        normal(mean, torch.exp(log_variance / 2)), normal(0.0, 1.0)
    )
    wanted = each[torch.tensor(MASK)].mean()
    wanted.backward()
    loss = jax.jit(jax.value_and_grad(standard_normal_divergence, argnums=(0, 1)))
    value, (of_mean, of_log_variance) = loss(MEAN, LOG_VARIANCE, MASK)
    np.testing.assert_allclose(value, wanted.item(), rtol=1e-5)
    np.testing.assert_allclose(of_mean, mean.grad, atol=1e-6)
    np.testing.assert_allclose(of_log_variance, log_variance.grad, atol=1e-6)


def test_the_standard_normal_distribution_has_none():
    zeros = jnp.zeros((2, 3, 4))
    assert standard_normal_divergence(zeros, zeros, MASK) == 0


def test_a_pixel_that_does_not_count_may_overflow():
    log_variance = jnp.where(MASK[..., None], LOG_VARIANCE, 1e4)
    value, gradient = jax.value_and_grad(standard_normal_divergence, argnums=1)(
        MEAN, log_variance, MASK
    )
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert (gradient[~MASK] == 0).all()


def test_without_a_pixel_it_is_zero_without_gradient():
    gradient = jax.value_and_grad(standard_normal_divergence, argnums=(0, 1))
    value, grads = gradient(MEAN, LOG_VARIANCE, np.zeros((2, 3), bool))
    assert value == 0 and all((grad == 0).all() for grad in grads)
