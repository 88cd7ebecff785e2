import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import config as config_lib
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


def test_poly_stays_between_refreshes():
    every_step = optimizers.poly(peak=0.02, total_steps=47)
    rarely = optimizers.poly(peak=0.02, total_steps=47, refresh_every=10)
    rates = [float(rarely(t)) for t in range(47)]
    wanted = [float(every_step(t - t % 10)) for t in range(47)]
    assert rates == wanted


def test_cuts_are_those_of_a_loop():
    options = dict(peak=0.3, start=5, every=3, factor=0.5)
    schedule = optimizers.step_decay(**options, total_steps=20)
    rate, wanted = 0.3, []
    for step in range(20):
        if step >= 5 and (step - 5) % 3 == 0:
            rate *= 0.5
        wanted.append(rate)
    np.testing.assert_allclose([schedule(t) for t in range(20)], wanted, rtol=1e-6)
    compiled = jax.jit(jax.vmap(schedule))(jnp.arange(20))
    np.testing.assert_allclose(compiled, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "make, options",
    [
        (optimizers.poly, dict(peak=1.0, total_steps=9, refresh_every=0)),
        (optimizers.step_decay, dict(peak=1.0, start=0, every=0, factor=0.5)),
    ],
)
def test_intervals_of_no_step_are_refused(make, options):
    with pytest.raises(ValueError, match="1 step or more"):
        make(**options)


def test_an_optimizer_may_stand_in_another_section_of_a_config():
    schedule = dict(name="jaxseg.optimizers:step_decay", peak=0.1)
    schedule |= dict(start=1, every=1, factor=0.5)
    spec = dict(name="jaxseg.optimizers:adam", schedule=schedule)
    optimizer = config_lib.make("methods", spec)
    moved = run(optimizer, jnp.zeros(1), jnp.ones((3, 1)))
    np.testing.assert_allclose(moved, [-0.1 - 0.05 - 0.025], rtol=1e-5)


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


def test_adam_equals_torch(torch):
    start = np.array([1.0, -2.0, 3.0], np.float32)
    gradients = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    theirs = torch.nn.Parameter(torch.tensor(start))
    peer = torch.optim.Adam([theirs], lr=0.1, betas=(0.8, 0.99), weight_decay=0.05)
    for gradient in gradients:
        theirs.grad = torch.tensor(gradient)
        peer.step()
    optimizer = optimizers.adam(
        optax.constant_schedule(0.1), b1=0.8, b2=0.99, weight_decay=0.05
    )
    ours = run(optimizer, jnp.asarray(start), jnp.asarray(gradients))
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4)


def test_adam_decays_by_the_gradient_alone_and_not_what_is_named():
    params = {"norm": jnp.ones(2), "fc": jnp.full(2, 3.0)}
    optimizer = optimizers.adam(
        optax.constant_schedule(0.1), weight_decay=0.5, undecayed=("norm",)
    )
    moved = run(optimizer, params, [jax.tree.map(jnp.zeros_like, params)])
    np.testing.assert_array_equal(moved["norm"], params["norm"])
    # A first step of Adam has the length of the rate, however small the decay.
    np.testing.assert_allclose(moved["fc"], 2.9, rtol=1e-5)


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
