"""Steps without pictures: what they know, whom they move, when they come."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import sharding, train
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.methods.cagnet.method import CaGNet
from jaxseg.methods.cagnet.players import players
from jaxseg.methods.cagnet.synthesis import Synthesis
from jaxseg.models.generator import synthesise
from tests.methods.cagnet.setting import (
    LABELS,
    differ,
    make_batch,
    make_method,
    make_segmentor,
)
from tests.test_train import assert_same

KEY = jax.random.key(5)
BATCH = make_batch()


def mixed(*, interval=(2, 3), method=None, **options):
    """A method that fine-tunes, with Adam's momentum in all players."""
    synthesis = Synthesis(**{"interval": interval, "features_per_step": 45, **options})
    return make_method(
        **{
            "trains_encoder": False,
            "scales": (1.0,),
            "synthesis": synthesis,
            "critic_optimizer": optax.adam(1e-2),
            "generator_optimizer": optax.adam(1e-2),
            **(method or {}),
        }
    )


def with_momentum(state):
    """As if all gradients had been ones before."""
    return state.replace(opt_state=jax.tree.map(jnp.ones_like, state.opt_state))


def first_state(method, batch=BATCH):
    return jax.jit(method.init)(jax.random.key(0), batch)


@functools.cache
def ready():
    method = mixed()
    return method, with_momentum(first_state(method)), jax.jit(method.synthesis_step)


def test_a_synthesis_step_is_given_no_picture_and_no_label():
    assert list(inspect.signature(CaGNet.synthesis_step).parameters) == [
        "self",
        "state",
        "key",
    ]


def test_a_synthesis_step_does_not_read_the_encoder():
    _, state, step = ready()
    segmentor = {
        name: jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), part)
        if name != "decoder"
        else part
        for name, part in state.params["segmentor"].items()
    }
    blind = state.replace(params={**state.params, "segmentor": segmentor})
    one, other = step(state, KEY), step(blind, KEY)
    assert_same(players(one.params)["critic"], players(other.params)["critic"])
    assert_same(one.memory, other.memory)


def test_a_synthesis_step_is_the_gradient_of_the_class_loss():
    method = mixed(
        critic_weight=0.5,
        generator_weight=0.25,
        method=dict(
            critic_optimizer=optax.sgd(0.1), generator_optimizer=optax.sgd(0.1)
        ),
    )
    state = first_state(method)
    after = jax.jit(method.synthesis_step)(state, KEY)
    # Classes are learnt from; the discriminator is not.
    assert_same(state.params["discriminator"], after.params["discriminator"])
    label_key, latent_key, feature_key, critic_key = jax.random.split(KEY, 4)
    source = method.label_source
    label = source.sample(label_key, state.memory)
    latent = jax.random.normal(latent_key, (45, 1, 1, 6))

    @jax.jit
    def loss(critic, generator):
        features = synthesise(
            method.generator,
            generator,
            feature_key,
            jnp.asarray(LABELS.word_vectors),
            label,
            latent,
        )
        return cross_entropy(
            method.parts.judge(critic, features, critic_key).logits, label
        )

    now = players(state.params)
    value, grads = jax.value_and_grad(loss, argnums=(0, 1))(
        now["critic"], now["generator"]
    )
    np.testing.assert_allclose(after.memory.entropy, value, rtol=1e-5)
    for name, weight, grad in zip(
        ("critic", "generator"), (0.5, 0.25), grads, strict=True
    ):
        jax.tree.map(
            lambda new, old, g, w=weight: np.testing.assert_allclose(
                new, old - 0.1 * w * g, atol=1e-6
            ),
            players(after.params)[name],
            now[name],
            grad,
        )


def test_without_a_weight_the_generator_does_not_drift_by_its_momentum():
    _, state, step = ready()
    after = step(state, KEY)
    assert_same(state.params["generator"], after.params["generator"])
    assert_same(state.opt_state["generator"], after.opt_state["generator"])


def test_a_synthesis_step_moves_with_the_vectors_of_unseen_classes():
    """That they are all it knows of them, and that it does know them."""
    method, state, _ = ready()
    step = jax.jit(functools.partial(step_with_table, method))
    table = jnp.asarray(LABELS.word_vectors)
    other = table.at[jnp.asarray(LABELS.unseen)].add(1.0)
    assert differ(step(table, state).params, step(other, state).params)


def step_with_table(method, table, state):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CaGNet, "class_table", property(lambda self: table))
        return method.synthesis_step(state, KEY)


@pytest.fixture
def traced(monkeypatch):
    """One entry a trace of the step on pictures."""
    traces, seen_step = [], CaGNet.seen_step
    monkeypatch.setattr(
        CaGNet, "seen_step", lambda *args: traces.append(1) or seen_step(*args)
    )
    return traces


def compiled(method, num_devices, batch):
    mesh = sharding.make_mesh(num_devices)
    state = jax.device_put(first_state(method, batch), sharding.replicated(mesh))
    placed = sharding.to_devices(jax.tree.map(np.asarray, batch), mesh)
    return train.compile_step(method, mesh, state, placed), state, placed


def counts(state):
    """How often each player's Adam has moved."""
    return [int(state.opt_state[name][0].count) for name in ("critic", "generator")]


def test_three_hundred_mixed_steps_are_one_program_without_host_transfers(traced):
    method = mixed(interval=(7, 3), features_per_step=20)
    step, state, batch = compiled(method, 1, make_batch(size=(8, 8)))
    before, seen = jax.device_get(players(state.params)), []
    for index in range(300):
        with jax.transfer_guard("disallow"):
            state, metrics = step(state, batch)
        if index in (5, 6, 7, 13, 299):
            seen.append(counts(state))
    # After every seventh step on pictures there are three without.
    assert seen == [[6, 6], [10, 7], [11, 8], [20, 14], [300 + 42 * 3, 300]]
    assert traced == [1] and int(state.step) == 300
    assert metrics["synthesised_cross_entropy"] > 0
    after = jax.device_get(players(state.params))
    assert_same(before["encoder"], after["encoder"])
    assert set(state.opt_state) == {"critic", "generator"}
    assert np.isfinite(np.asarray(jax.tree.leaves(metrics))).all()


def test_one_and_eight_devices_do_the_same():
    method = mixed(
        interval=(1, 2),
        patch=3,
        method=dict(
            trains_encoder=True,
            segmentor=make_segmentor(window=3),
            critic_optimizer=optax.sgd(0.1),
            generator_optimizer=optax.sgd(0.1),
        ),
    )
    batch, found = make_batch(batch_size=8), []
    for num_devices in (1, 8):
        step, state, placed = compiled(method, num_devices, batch)
        after, metrics = step(state, placed)
        found.append(jax.device_get((after.params, after.memory, metrics)))
    same = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    jax.tree.map(same, *found)
