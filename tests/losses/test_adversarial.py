"""Each kind of game, against torch's own losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.losses import adversarial

RNG = np.random.default_rng(0)
REAL, GENERATED = RNG.uniform(0.05, 0.95, (2, 3, 4)).astype(np.float32)
MASK = RNG.random((3, 4)) < 0.6
KINDS = pytest.mark.parametrize("kind", adversarial.KINDS)


def distance(torch, kind, values, target):
    """torch's loss of the masked probabilities, all of which should be `target`."""
    values = values[torch.tensor(MASK)]
    if kind in adversarial.WASSERSTEIN:
        return (1 - 2 * target) * values.mean()
    losses = dict(
        l1=torch.nn.functional.l1_loss,
        lsgan=torch.nn.functional.mse_loss,
        bce=torch.nn.functional.binary_cross_entropy,
    )
    return losses[kind](values, torch.full_like(values, target))


@KINDS
def test_the_discriminator_loss_is_torchs(torch, kind):
    real, generated = (torch.tensor(x, requires_grad=True) for x in (REAL, GENERATED))
    wanted = distance(torch, kind, real, 1.0), distance(torch, kind, generated, 0.0)
    sum(wanted).backward()

    @jax.jit
    def loss(real, generated):
        return adversarial.discriminator_loss(real, generated, MASK, kind=kind)

    np.testing.assert_allclose(
        loss(REAL, GENERATED), [x.item() for x in wanted], rtol=1e-5
    )
    grads = jax.grad(lambda *x: sum(loss(*x)), argnums=(0, 1))(REAL, GENERATED)
    np.testing.assert_allclose(grads[0], real.grad, rtol=1e-5)
    np.testing.assert_allclose(grads[1], generated.grad, rtol=1e-5)


@KINDS
def test_the_generator_loss_is_torchs(torch, kind):
    generated = torch.tensor(GENERATED, requires_grad=True)
    wanted = distance(torch, kind, generated, 1.0)
    wanted.backward()
    value, gradient = jax.value_and_grad(adversarial.generator_loss)(
        jnp.asarray(GENERATED), MASK, kind=kind
    )
    np.testing.assert_allclose(value, wanted.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, generated.grad, rtol=1e-5)


@KINDS
def test_without_a_pixel_nothing_is_learnt(kind):
    nowhere = np.zeros((3, 4), bool)

    def loss(real, generated):
        told = adversarial.discriminator_loss(real, generated, nowhere, kind=kind)
        return sum(told) + adversarial.generator_loss(generated, nowhere, kind=kind)

    value, grads = jax.value_and_grad(loss, argnums=(0, 1))(REAL, GENERATED)
    assert value == 0 and all((grad == 0).all() for grad in grads)


@KINDS
def test_saturated_probabilities_have_finite_losses_and_gradients(kind):
    ends = jnp.array([[0.0, 1.0]])

    def loss(values):
        told = adversarial.discriminator_loss(
            values, values, jnp.ones((1, 2), bool), kind=kind
        )
        return sum(told)

    value, gradient = jax.value_and_grad(loss)(ends)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_an_impossible_verdict_costs_what_torch_says(torch):
    real = torch.tensor([0.0, 0.5])
    wanted = torch.nn.functional.binary_cross_entropy(real, torch.ones(2))
    ours = adversarial.generator_loss(
        jnp.array([0.0, 0.5]), jnp.ones(2, bool), kind="bce"
    )
    np.testing.assert_allclose(ours, wanted.item(), rtol=1e-6)


def test_an_unknown_kind_is_refused():
    for loss in (
        lambda: adversarial.discriminator_loss(REAL, GENERATED, MASK, kind="hinge"),
        lambda: adversarial.generator_loss(GENERATED, MASK, kind="hinge"),
    ):
        with pytest.raises(ValueError, match="got 'hinge'"):
            loss()


def torch_penalty(torch, between, kernel, mask):
    """Gulrajani's term for D(x) = sigmoid(x k), and its gradient by k."""
    x = torch.tensor(between, requires_grad=True)
    k = torch.tensor(kernel, requires_grad=True)
    score = torch.sigmoid(x @ k)
    (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    penalty = ((slope.norm(dim=-1) - 1) ** 2)[torch.tensor(mask)].mean()
    penalty.backward()
    return penalty.item(), k.grad.numpy()


def test_the_gradient_penalty_is_torchs_double_backward(torch):
    between, kernel = RNG.normal(size=(3, 4, 5)), RNG.normal(size=5)
    between, kernel = between.astype(np.float32), kernel.astype(np.float32)

    @jax.jit
    def penalty(kernel):
        def score(x):
            return jax.nn.sigmoid(x @ kernel)

        return adversarial.gradient_penalty(score, jnp.asarray(between), MASK)

    value, gradient = torch_penalty(torch, between, kernel, MASK)
    np.testing.assert_allclose(penalty(kernel), value, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(penalty)(kernel), gradient, rtol=1e-4)


def test_a_flat_discriminator_has_the_penalty_1_and_no_nan():
    def penalty(kernel, mask):
        def score(x):
            return jax.nn.sigmoid(x @ kernel)

        return adversarial.gradient_penalty(score, jnp.ones((3, 4, 5)), mask)

    flat = jnp.zeros(5)
    value, gradient = jax.value_and_grad(penalty)(flat, MASK)
    assert value == 1 and (gradient == 0).all()
    nowhere = np.zeros((3, 4), bool)
    value, gradient = jax.value_and_grad(penalty)(jnp.ones(5), nowhere)
    assert value == 0 and (gradient == 0).all()
