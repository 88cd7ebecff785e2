import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg.config import ConfigError
from jaxseg.methods import base
from tests.test_train import build, make_config


class TwoNetworks(nn.Module):
    """A segmentor and a projection, as methods with heads of their own have."""

    segmentor: nn.Module

    def setup(self):
        self.projection = nn.Dense(4)

    def __call__(self, image, *, train):
        outputs = self.segmentor(image, train=train)
        return outputs, self.projection(outputs.features)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Projecting(base.Method):
    """A method whose loss reaches both sub-networks."""

    @property
    def network(self):
        return TwoNetworks(self.segmentor)

    def loss(self, params, state, batch, rng):
        (outputs, projected), state = self.forward(params, state, batch["image"])
        loss = jnp.mean(outputs.logits**2) + jnp.mean(projected**2)
        return loss, (state, {"loss": loss})


@pytest.fixture(scope="module")
def method():
    plain, _ = build(make_config())
    return Projecting(
        segmentor=plain.segmentor, optimizer=optax.sgd(0.1), labels=plain.labels
    )


@pytest.fixture(scope="module")
def batch():
    image = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), np.uint8)
    return {
        "image": jnp.asarray(image),
        "label": jnp.zeros((2, 32, 64), jnp.int32),
        "valid": jnp.ones(2, bool),
    }


@pytest.fixture(scope="module")
def state(method, batch):
    return jax.jit(method.init)(jax.random.key(0), batch)


def changed(before, after):
    return any(
        (a != b).any()
        for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    )


def test_every_sub_network_has_parameters_and_an_optimiser_state(state):
    assert set(state.params) == {"segmentor", "projection"} == set(state.opt_state)


def test_a_step_moves_all_sub_networks_and_the_step(method, state, batch):
    after, metrics = jax.jit(method.train_step)(state, batch)
    assert int(after.step) == 1 and float(metrics["grad_norm"]) > 0
    assert changed(state.params["segmentor"], after.params["segmentor"])
    assert changed(state.params["projection"], after.params["projection"])
    assert (jax.random.key_data(after.rng) == jax.random.key_data(state.rng)).all()


def test_gradients_of_one_sub_network_leave_the_others(method, state):
    grads = {"projection": jax.tree.map(jnp.ones_like, state.params["projection"])}
    after = method.apply_gradients(state, grads)
    assert not changed(state.params["segmentor"], after.params["segmentor"])
    moved = after.params["projection"]["bias"] - state.params["projection"]["bias"]
    np.testing.assert_allclose(moved, -0.1, rtol=1e-6)


def test_a_sub_network_can_have_its_own_optimiser(method, state):
    grads = {"projection": jax.tree.map(jnp.ones_like, state.params["projection"])}
    frozen = {"projection": optax.set_to_zero()}
    state = state.replace(opt_state={**state.opt_state, "projection": ()})
    frozen_state = frozen["projection"].init(state.params["projection"])
    state = state.replace(opt_state={**state.opt_state, "projection": frozen_state})
    after = method.apply_gradients(state, grads, frozen)
    assert not changed(state.params["projection"], after.params["projection"])


def test_training_moves_running_statistics_and_prediction_does_not_need_more(
    method, state, batch
):
    _, after = method.forward(state.params, state, batch["image"])
    assert changed(state.batch_stats, after.batch_stats)
    bare = state.replace(
        params={"segmentor": state.params["segmentor"]}, opt_state=None, memory=None
    )
    logits = method.predict(bare, {"image": batch["image"]})
    assert logits.shape == (2, 32, 64, method.labels.num_classes)
    assert logits.dtype == jnp.float32


def test_initialisation_depends_on_the_key_alone(method, batch):
    init = jax.jit(method.init)
    one = init(jax.random.key(1), batch)
    again = init(jax.random.key(1), {**batch, "image": batch["image"] * 0})
    other = init(jax.random.key(2), batch)
    assert not changed(one.params, again.params)
    assert changed(one.params, other.params)


def test_the_models_dtype_reaches_backbone_and_head():
    config = make_config()
    config["model"]["dtype"] = "bfloat16"
    segmentor = build(config)[0].segmentor
    assert segmentor.dtype == segmentor.backbone.dtype == segmentor.head.dtype


def test_a_bad_value_is_explained_with_its_place():
    with pytest.raises(ConfigError, match="optimizers 'sgd' has no key 'momentun'"):
        build(make_config(optimizer__momentun=0.9))
