"""PiCo with a memory whose slots are split over the devices, as one that is not."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import sharding, train
from jaxseg.config import ConfigError
from jaxseg.methods.pico import memory as memories
from jaxseg.methods.pico import streaming
from jaxseg.methods.pico.chosen import chosen_contrast
from jaxseg.methods.pico.rule import ExampleRule
from tests.methods.pico.test_memory import COLLECTIVE
from tests.methods.pico.test_method import (
    first_batch,
    pico_config,
    start,
    with_random_entries,
)
from tests.methods.pico.test_streaming import (
    assert_close,
    dense_negatives,
    dense_positives,
    negatives,
    positives,
    random_inputs,
    some_weights,
)

RULE = ("memory/.*/values", (None, "data"))
SIZES = dict(method__region_size=8, method__pixel_size=24, method__warmup_steps=0)
MORE = np.arange(24) % 17  # anchors, so that eight devices share them evenly


def split_inputs(num_devices, case):
    """A bank of 16 slots whose last ones are empty, split; and 24 anchors of it."""
    anchors, labels, values, filled = random_inputs(case)
    mesh = sharding.make_mesh(num_devices)
    target = {"memory": {"pixel": {"values": jnp.zeros((4, 16, 6))}}}
    placed = sharding.place_state(target, mesh, [RULE])["memory"]["pixel"]["values"]
    values = jnp.pad(values, ((0, 0), (0, 3), (0, 0)))
    filled = jnp.pad(filled, ((0, 0), (0, 3)))
    return anchors[MORE], labels[MORE], jax.device_put(values, placed), filled


@pytest.mark.parametrize("num_devices", [1, 2, 8])
@pytest.mark.parametrize("case", ["partly filled", "empty bank"])
def test_negatives_of_all_devices_equal_a_dense_version(num_devices, case):
    inputs, weights = split_inputs(num_devices, case), some_weights()[MORE]
    lse, top, gradient = dense_negatives(*inputs)
    dense = (lse, top, gradient * np.asarray(weights)[:, None])
    counts = np.asarray(inputs[1]) >= 0
    with jax.set_mesh(sharding.make_mesh(num_devices)):
        found = negatives(*inputs, weights)
    for ours, theirs in zip(found, dense, strict=True):
        assert_close(np.asarray(ours)[counts], theirs[counts], 1e-5)


@pytest.mark.parametrize("num_devices", [1, 2, 8])
@pytest.mark.parametrize("case", ["partly filled", "empty class"])
def test_positives_of_all_devices_equal_a_dense_version(num_devices, case):
    anchors, labels, *bank = split_inputs(num_devices, case)
    lse = dense_negatives(anchors, labels, *bank)[0].astype(np.float32)
    inputs, weights = (anchors, labels, lse, *bank), some_weights()[MORE]
    losses, scores, of_anchors, of_lse = dense_positives(*inputs)
    w = np.asarray(weights)
    dense = (losses, scores, of_anchors * w[:, None], of_lse * w)
    with jax.set_mesh(sharding.make_mesh(num_devices)):
        found = positives(*inputs, weights)
    for ours, theirs in zip(found, dense, strict=True):
        assert_close(ours, theirs, 1e-5)


def step_with(rules, batch, *, num_devices):
    """The state and the metrics after a step with a memory that holds something."""
    config = pico_config(num_devices=num_devices, **SIZES) | {"sharding": rules}
    method, state, mesh = start(config)
    placed = jax.tree.map(lambda leaf: leaf.sharding, state.memory)
    memory = jax.device_put(with_random_entries(state.memory), placed)
    state, batch = state.replace(memory=memory), sharding.to_devices(batch, mesh)
    step = train.compile_step(method, mesh, state, batch)
    return step(state, batch)


@pytest.fixture(scope="module")
def batch():
    return first_batch(pico_config())


@pytest.fixture(scope="module")
def replicated(batch):
    return jax.device_get(step_with((), batch, num_devices=1))


def test_a_step_equals_that_of_one_device(batch, replicated):
    state, metrics = step_with([RULE], batch, num_devices=8)
    theirs, their_metrics = replicated
    for ours, expected in (
        (state.memory.region, theirs.memory.region),
        (state.memory.pixel, theirs.memory.pixel),
    ):
        of_device = ours.values.addressable_shards[0].data.shape
        assert of_device[1] * 8 == ours.values.shape[1]
        np.testing.assert_array_equal(ours.pointer, expected.pointer)
        np.testing.assert_array_equal(ours.fill, expected.fill)
        np.testing.assert_allclose(ours.values, expected.values, atol=1e-5)
    assert metrics["contrast"] > 0
    for name, value in metrics.items():
        np.testing.assert_allclose(value, their_metrics[name], rtol=1e-5, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        state.params,
        theirs.params,
    )


def largest_collective(compiled):
    """Elements of the largest array that travels between the devices."""
    return max(
        math.prod(int(length) for length in dimensions.split(",") if length)
        for shape in COLLECTIVE.findall(compiled.as_text())
        for dimensions in re.findall(r"\w+\[([\d,]*)\]", shape)
    )


def test_the_bank_stays_where_it_is():
    """Neither contrast nor update gathers it, and each device works on its share."""
    mesh = sharding.make_mesh()
    memory = memories.empty(
        5, region_size=1024, pixel_size=2048, dim=32, dtype="float32"
    )
    places = sharding.place_state({"memory": memory}, mesh, [RULE])["memory"]
    split, whole = sharding.batched(mesh), sharding.replicated(mesh)

    def step(memory, anchors, labels, embeddings, classes, picks):
        def loss(anchors):
            total = 0.0
            for values, filled in memories.banks(memory):
                bank = values, filled, 0.1
                lse, _ = streaming.negatives(anchors, labels, *bank)
                total += jnp.sum(streaming.positives(anchors, labels, lse, *bank)[0])
            return total

        gradient = jax.grad(loss)(anchors)
        return memories.update(memory, embeddings, classes, picks), gradient

    shapes = (
        jax.ShapeDtypeStruct((64, 32), "float32"),
        jax.ShapeDtypeStruct((64,), "int32"),
        jax.ShapeDtypeStruct((8, 16, 16, 32), "float32"),
        jax.ShapeDtypeStruct((8, 16, 16), "int32"),
        jax.ShapeDtypeStruct((8, 5, 3), "int32"),
    )
    with jax.set_mesh(mesh):
        compiled = (
            jax.jit(
                step,
                in_shardings=(places, *[split] * 5),
                out_shardings=(places, whole),
                donate_argnums=0,
            )
            .lower(memory, *shapes)
            .compile()
        )
    of_device = sum(leaf.nbytes for leaf in jax.tree.leaves(memory)) / 8
    assert largest_collective(compiled) <= 8 * 5 * 3 * 32  # the pixels of the batch
    use = compiled.memory_analysis()
    assert use.alias_size_in_bytes < 1.01 * of_device
    assert use.temp_size_in_bytes < 4 * of_device  # half of the memory


def test_chosen_columns_travel_and_the_bank_does_not():
    """As float32, since what the devices have of each is added up."""
    mesh = sharding.make_mesh()
    memory = memories.empty(
        5, region_size=1024, pixel_size=2048, dim=32, dtype="float32"
    )
    places = sharding.place_state({"memory": memory}, mesh, [RULE])["memory"]
    columns, split = 5 * 64, sharding.batched(mesh)
    rule = ExampleRule(bank_columns=columns, num_mixed_negatives=8, num_anchor_mixes=4)

    def step(memory, anchors, labels):
        def loss(anchors):
            return chosen_contrast(
                anchors,
                labels,
                memories.banks(memory),
                jax.random.key(0),
                rule=rule,
                with_batch=True,
                temperature=0.1,
                base_temperature=0.1,
            ).loss

        return jax.grad(loss)(anchors)

    shapes = (
        jax.ShapeDtypeStruct((8, 16, 32), "float32"),
        jax.ShapeDtypeStruct((8, 16), "int32"),
    )
    with jax.set_mesh(mesh):
        step = jax.jit(step, in_shardings=(places, split, split), out_shardings=split)
        compiled = step.lower(memory, *shapes).compile()
    assert 0 < largest_collective(compiled) <= columns * 32


def test_slots_that_do_not_split_evenly_are_refused():
    config = pico_config(num_devices=8, method__region_size=6) | {"sharding": [RULE]}
    with pytest.raises(ConfigError, match=r"region/values of shape \(10, 6, 8\)"):
        start(config)
