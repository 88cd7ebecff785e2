"""Synthesis draws the same features on any number of devices, and from any place."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import sharding
from jaxseg.models.generator import Generator, synthesise

KEY = jax.random.key(3)
GENERATOR = Generator(features=6, hidden=(10, 7), dropout=(0.1, 0.5))
TABLE = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)), jnp.float32)
IDS = jnp.asarray(np.random.default_rng(1).integers(0, 4, (64, 3)))
LATENT = jnp.zeros((64, 3, 5))


@functools.cache
def params():
    return GENERATOR.init(KEY, TABLE, IDS, LATENT, train=False)["params"]


DRAW = functools.partial(synthesise, GENERATOR)


@functools.cache
def drawn():
    return np.asarray(jax.jit(DRAW)(params(), KEY, TABLE, IDS))


def test_eight_devices_draw_what_one_draws():
    mesh = sharding.make_mesh(8)
    whole, split = sharding.replicated(mesh), sharding.batched(mesh)
    places = (whole, whole, whole, split)
    spread = jax.jit(DRAW, in_shardings=places, out_shardings=split)
    with jax.set_mesh(mesh):
        program = spread.lower(params(), KEY, TABLE, IDS).compile()
        ours = program(*jax.device_put((params(), KEY, TABLE, IDS), places))
    assert len(ours.sharding.device_set) == 8
    np.testing.assert_allclose(ours, drawn(), atol=1e-6)
    # The parameters are everywhere, so nothing has to travel.
    assert "all-reduce" not in program.as_text()


def test_another_key_draws_others():
    other = jax.jit(DRAW)(params(), jax.random.key(4), TABLE, IDS)
    assert np.mean(np.abs(other - drawn()) > 1e-6) > 0.9


def test_dropout_acts_in_training_only():
    run = jax.jit(DRAW, static_argnames="train")
    one, other = (
        run(params(), key, TABLE, IDS, LATENT, train=False)
        for key in (KEY, jax.random.key(4))
    )
    np.testing.assert_array_equal(one, other)
    again = run(params(), KEY, TABLE, IDS, LATENT, train=True)
    assert np.mean(np.abs(again - one) > 1e-6) > 0.9


def test_the_first_layer_taken_apart_is_the_whole_one():
    latent = np.random.default_rng(2).normal(size=(64, 3, 5)).astype(np.float32)
    x = np.concatenate([np.asarray(TABLE)[np.asarray(IDS)], latent], axis=-1)
    for index in range(3):
        layer = params()[f"layer_{index}"]
        x = np.where(x > 0, x, 0.2 * x) if index else x
        x = x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
    ours = DRAW(params(), KEY, TABLE, IDS, jnp.asarray(latent), train=False)
    np.testing.assert_allclose(ours, 1 / (1 + np.exp(-x)), atol=3e-6)


@pytest.mark.parametrize("class_id", [-1, 4, 255])
def test_no_class_is_a_zero_vector(class_id):
    ids = jnp.full((2, 1), class_id)
    latent = jnp.ones((2, 1, 5))
    zeros = DRAW(params(), KEY, 0 * TABLE, 0 * ids, latent, train=False)
    ours = DRAW(params(), KEY, TABLE, ids, latent, train=False)
    np.testing.assert_allclose(ours, zeros, atol=1e-6)
