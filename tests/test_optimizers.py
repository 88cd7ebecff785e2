import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import optimizers


def run(optimizer, params, gradients):
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_poly_is_the_formula():
    schedule = optimizers.poly(peak=0.02, total_steps=10)
    assert np.isclose(schedule(3), 0.02 * 0.7**0.9)
    assert schedule(10) == 0 and schedule(11) == 0


def test_quartic_warmup_multiplies_poly():
    schedule = optimizers.poly(peak=1.0, total_steps=100, warmup_steps=10)
    assert np.isclose(schedule(4), 0.96**0.9 * 0.5**4)
    assert np.isclose(schedule(10), 0.9**0.9)


def test_cosine_ends_where_it_should():
    schedule = optimizers.cosine(peak=1.0, total_steps=10, warmup_steps=2, end=0.1)
    assert schedule(0) == 0
    np.testing.assert_allclose([schedule(2), schedule(10)], [1.0, 0.1], rtol=1e-6)


def test_sgd_equals_torch(torch):
    start = np.array([1.0, -2.0, 3.0], np.float32)
    gradients = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    theirs = torch.nn.Parameter(torch.tensor(start))
    peer = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, weight_decay=0.01)
    for gradient in gradients:
        theirs.grad = torch.tensor(gradient)
        peer.step()
    optimizer = optimizers.sgd(optax.constant_schedule(0.1), weight_decay=0.01)
    ours = run(optimizer, jnp.asarray(start), jnp.asarray(gradients))
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5)


def test_adamw_equals_torch(torch):
    start = np.array([[1.0, -2.0, 3.0]], np.float32)
    gradients = np.random.default_rng(0).normal(size=(5, 1, 3)).astype(np.float32)
    theirs = torch.nn.Parameter(torch.tensor(start))
    peer = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.05)
    for gradient in gradients:
        theirs.grad = torch.tensor(gradient)
        peer.step()
    optimizer = optimizers.adamw(optax.constant_schedule(0.1), weight_decay=0.05)
    ours = run(optimizer, jnp.asarray(start), jnp.asarray(gradients))
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4)


def test_multipliers_scale_the_first_match():
    params = {"backbone": {"kernel": jnp.zeros(1)}, "head": {"kernel": jnp.zeros(1)}}
    gradient = {"backbone": {"kernel": jnp.ones(1)}, "head": {"kernel": jnp.ones(1)}}
    optimizer = optimizers.sgd(
        optax.constant_schedule(1.0), multipliers=(("backbone", 0.1), ("kernel", 3.0))
    )
    moved = run(optimizer, params, [gradient])
    np.testing.assert_allclose(moved["backbone"]["kernel"], [-0.1])
    np.testing.assert_allclose(moved["head"]["kernel"], [-3.0])


@pytest.mark.parametrize("decay_all", [True, False])
def test_biases_decay_only_when_asked(decay_all):
    params = {"kernel": jnp.ones((1, 1)), "bias": jnp.ones(1)}
    zeros = {"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)}
    optimizer = optimizers.sgd(
        optax.constant_schedule(1.0), weight_decay=0.5, decay_all=decay_all
    )
    moved = run(optimizer, params, [zeros])
    assert moved["kernel"] == 0.5
    assert moved["bias"] == (0.5 if decay_all else 1.0)


def test_clipping_bounds_the_norm():
    optimizer = optimizers.sgd(optax.constant_schedule(1.0), clip_norm=1.0)
    moved = run(optimizer, jnp.zeros(2), [jnp.array([30.0, 40.0])])
    np.testing.assert_allclose(moved, [-0.6, -0.8], rtol=1e-6)


@pytest.mark.parametrize("make", [optimizers.sgd, optimizers.adamw])
def test_what_is_named_does_not_decay(make):
    params = {"norm1": {"bias": jnp.ones(2)}, "fc": {"bias": jnp.ones(2)}}
    optimizer = make(
        optax.constant_schedule(1.0),
        weight_decay=0.5,
        decay_all=True,
        undecayed=("norm",),
    )
    still = {"norm1": {"bias": jnp.zeros(2)}, "fc": {"bias": jnp.zeros(2)}}
    moved = run(optimizer, params, [still])
    np.testing.assert_allclose(moved["norm1"]["bias"], 1.0)
    np.testing.assert_allclose(moved["fc"]["bias"], 0.5)
