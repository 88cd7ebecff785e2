"""PiCo as the trainer sees it, on small scenes and with a network of a few layers."""

import copy
import logging
import re
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import initialization, sharding, train
from jaxseg.checkpoints import Checkpoints
from jaxseg.config import ConfigError
from jaxseg.data import inputs
from jaxseg.methods import base
from jaxseg.methods.pico import PiCo, sampling
from jaxseg.ops.resize import resize_nearest
from tests.test_train import assert_same, build, lines, make_config, stop_after

METHOD = dict(
    name="pico.PiCo",
    warmup_steps=2,
    max_samples=64,
    max_views=4,
    embedding_dim=8,
    region_size=6,
    pixel_size=20,
    pixel_picks=3,
)
CONFIGS = ("pico_camvid", "pico_cityscapes", "quickstart")


def pico_config(**changes):
    method = METHOD | {
        key.removeprefix("method__"): changes.pop(key)
        for key in list(changes)
        if key.startswith("method__")
    }
    return make_config(**changes) | {"method": method}


def first_batch(config):
    stream = inputs.training_batches(config, inputs.make_dataset(config), start_step=0)
    batch = next(stream)
    stream.close()
    return batch


def start(config):
    """A method, its first state, and the mesh they are on."""
    method, mesh = build(config)
    target = initialization.describe(config, method, mesh)
    return method, initialization.fresh(config, method, target), mesh


def steps_on(num_devices, batch, steps, **changes):
    """The state and the metrics after some steps on the same batch."""
    method, state, mesh = start(pico_config(num_devices=num_devices, **changes))
    batch = sharding.to_devices(batch, mesh)
    step = train.compile_step(method, mesh, state, batch)
    for _ in range(steps):
        state, metrics = step(state, batch)
    return jax.device_get((state.params, state.memory, metrics))


@pytest.fixture(scope="module")
def batch():
    return first_batch(pico_config())


def test_one_and_eight_devices_agree_through_the_network(batch):
    changes = dict(method__warmup_steps=0)
    params, memory, metrics = steps_on(1, batch, 1, **changes)
    params_8, memory_8, metrics_8 = steps_on(8, batch, 1, **changes)
    for ours, theirs in (
        (memory.region, memory_8.region),
        (memory.pixel, memory_8.pixel),
    ):
        np.testing.assert_array_equal(ours.pointer, theirs.pointer)
        np.testing.assert_array_equal(ours.fill, theirs.fill)
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-5)
    assert metrics["contrast"] > 0 and memory.pixel.fill.sum() > 0
    for name, value in metrics.items():
        np.testing.assert_allclose(value, metrics_8[name], rtol=1e-5, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), params, params_8
    )


@pytest.mark.parametrize("contrast_set", ["batch", "memory", "both"])
def test_contrast_begins_after_the_warm_up(batch, contrast_set):
    def after(steps):
        return steps_on(1, batch, steps, method__contrast_set=contrast_set)

    _, memory, metrics = after(2)
    assert metrics["contrast"] == 0 and metrics["loss"] == metrics["cross_entropy"]
    assert metrics["valid_anchors"] > 0
    _, _, metrics = after(3)
    assert metrics["contrast"] > 0
    wanted = metrics["cross_entropy"] + 0.1 * metrics["contrast"]
    np.testing.assert_allclose(metrics["loss"], wanted, rtol=1e-6)
    # The memory fills from the first step on.
    assert (memory is None) if contrast_set == "batch" else memory.pixel.fill.any()


def test_the_first_contrast_with_an_empty_memory_is_zero(batch):
    changes = dict(method__contrast_set="memory", method__warmup_steps=0)
    _, memory, metrics = steps_on(1, batch, 1, **changes)
    assert metrics["contrast"] == 0 and metrics["bank_fill"] == 0
    assert memory.region.fill.any()


def test_stopping_and_resuming_equals_not_stopping_with_the_memory(
    tmp_path, monkeypatch
):
    config = pico_config()
    whole, broken = str(tmp_path / "whole"), str(tmp_path / "broken")
    train.train(config, whole)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        assert train.train(config, broken) == {}
    train.train(config, broken)
    states = []
    for workdir in (whole, broken):
        with Checkpoints(workdir, read_only=True) as checkpoints:
            method, mesh = build(config)
            target = initialization.describe(config, method, mesh)
            states.append(checkpoints.restore(target))
    assert_same(*states)
    assert states[0].memory.pixel.fill.max() == METHOD["pixel_size"]


def test_a_run_that_goes_on_with_eight_devices_keeps_its_memory(tmp_path):
    config = pico_config(total_steps=2)
    train.train(config, str(tmp_path))
    method, mesh = build(config | {"num_devices": 8})
    target = initialization.describe(config, method, mesh)
    with Checkpoints(str(tmp_path), read_only=True) as checkpoints:
        state = checkpoints.restore(target)
    assert state.memory.pixel.values.sharding.is_fully_replicated
    assert state.memory.pixel.fill.any()


def test_twenty_steps_lower_the_loss(tmp_path):
    config = pico_config(
        total_steps=20,
        every__evaluate=0,
        every__checkpoint=0,
        method__warmup_steps=0,
        method__contrast_set="batch",
    )
    train.train(config | dict(evals={}), str(tmp_path))
    found = lines(tmp_path)
    assert found[-1]["cross_entropy"] < 0.9 * found[0]["cross_entropy"]
    assert found[-1]["contrast"] < found[0]["contrast"]


def test_the_step_is_traced_once(tmp_path, monkeypatch):
    traces = []
    loss = PiCo.loss
    monkeypatch.setattr(PiCo, "loss", lambda *args: traces.append(1) or loss(*args))
    train.train(pico_config(), str(tmp_path))
    assert len(traces) == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("contrast_set", ["batch", "memory", "both"])
def test_labels_of_nothing_or_of_one_class_give_a_finite_step(
    batch, contrast_set, dtype
):
    for label in (255, 0):
        labels = np.full_like(batch["label"], label)
        _, memory, metrics = steps_on(
            1,
            batch | {"label": labels},
            2,
            model__dtype=dtype,
            method__contrast_set=contrast_set,
            method__warmup_steps=0,
            method__memory_dtype=dtype,
        )
        assert all(np.isfinite(value) for value in metrics.values())
        assert metrics["contrast"] == 0  # no positive, or no negative
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(memory))


def load(name, variant=""):
    path = f"configs/{name}.py"
    return runpy.run_path(path)["get_config"](variant).to_dict()


def text_of_step(config, batch):
    """The compiled step without the places in the code that it comes from."""
    method, state, mesh = start(config)
    compiled = train.compile_step(method, mesh, state, sharding.to_devices(batch, mesh))
    text = re.sub(r", metadata=\{[^}]*\}", "", compiled.as_text())
    tables = r"\d+ |FileNames|FunctionNames|FileLocations|StackFrames"
    return [line for line in text.splitlines() if not re.match(tables, line)]


@pytest.mark.parametrize("name", CONFIGS)
def test_without_weight_the_step_is_that_of_plain_supervision(name):
    twin = load(name, "cross_entropy,tiny") | {"num_devices": 1}
    assert twin["method"]["contrast_weight"] == 0
    plain = copy.deepcopy(twin)
    weights = twin["method"]["class_weights"]
    plain["method"] = dict(name="supervised.Supervised", class_weights=weights)
    one, other = (
        jax.eval_shape(lambda config=config: start(config)[1].params)
        for config in (twin, plain)
    )
    assert one == other
    batch = first_batch(twin)
    assert text_of_step(twin, batch) == text_of_step(plain, batch)


def test_the_camvid_twin_is_the_supervised_config():
    twin, plain = load("pico_camvid", "cross_entropy"), load("supervised_camvid")
    del twin["method"], plain["method"]
    assert twin == plain


def test_a_camvid_batch_has_anchors_of_four_classes_an_image(data_root):
    config = load("pico_camvid") | {"num_devices": 1}
    config["data"]["root"] = str(data_root / "camvid")
    method, _ = build(config)
    stream = inputs.training_batches(config, inputs.make_dataset(config), start_step=0)
    found = []
    for _ in range(8):
        labels = resize_nearest(next(stream)["label"], (23, 30))
        anchors, pairs = sampling.choose_anchors(
            labels,
            np.zeros_like(labels),
            sampling.draw_priority(jax.random.key(0), labels.shape),
            num_classes=method.labels.num_classes,
            max_samples=method.max_samples,
            max_views=method.max_views,
            group_size=method.group_size,
        )
        found.append((pairs.qualified.sum() / 8, (anchors.labels >= 0).sum()))
    stream.close()
    per_image, num_anchors = np.mean(found, axis=0)
    assert per_image >= 4 and num_anchors > 400


def test_prediction_costs_what_it_costs_without_contrast():
    def flops(weight):
        method, state, _ = start(pico_config(method__contrast_weight=weight))
        image = {"image": jnp.zeros((1, 32, 64, 3), jnp.uint8)}
        return jax.jit(method.predict).lower(state, image).compile().cost_analysis()

    assert flops(0.1)["flops"] == flops(0.0)["flops"] > 0


def test_a_run_without_contrast_is_warned_with_the_reason(tmp_path, caplog):
    config = pico_config(method__max_views=10_000, method__warmup_steps=1)
    with caplog.at_level(logging.WARNING, logger="absl"):
        train.train(config | dict(evals={}), str(tmp_path))
    found = [
        r.getMessage() for r in caplog.records if "contrast is 0" in r.getMessage()
    ]
    assert len(found) == 1 and "max_views = 10000" in found[0]


@pytest.mark.parametrize(
    ("means", "reason"),
    [
        (dict(contrast=0.0, qualified_pairs=0.0, bank_fill=0.5), "max_views = 4"),
        (dict(contrast=0.0, qualified_pairs=3.0, bank_fill=0.0), "memory is empty"),
        (dict(contrast=0.0, qualified_pairs=3.0, bank_fill=0.5), "no anchor has both"),
    ],
)
def test_the_reason_is_looked_for(means, reason):
    method, _ = build(pico_config(method__contrast_set="memory"))
    assert reason in method.warnings(3, 6, means)[0]
    assert not method.warnings(2, 6, means)  # still warming up
    assert not method.warnings(3, 6, means | {"contrast": 0.1})
    assert "all 2 steps are warm-up" in method.warnings(1, 2, means)[0]


def test_mistakes_in_the_config_are_named():
    for key, value, message in (
        ("contrast_set", "bank", "'batch', 'memory', 'both'"),
        ("max_views", 0, "at least 1"),
        ("official_memory_compat", True, "use 'memory'"),
    ):
        with pytest.raises(ConfigError, match=message):
            build(pico_config(**{f"method__{key}": value}))


def test_a_group_size_that_does_not_divide_the_batch_is_named(batch):
    with pytest.raises(
        ValueError, match="a batch of 8 does not split into groups of 3"
    ):
        steps_on(1, batch, 1, method__group_size=3)


def test_the_authors_memory_trains_for_comparison(batch):
    changes = dict(method__contrast_set="memory", method__official_memory_compat=True)
    _, memory, metrics = steps_on(1, batch, 2, method__warmup_steps=0, **changes)
    assert metrics["contrast"] > 0 and metrics["bank_fill"] == 1
    assert memory.region.pointer[0] == 0  # class 0 never enters
    assert (memory.pixel.pointer[1:] <= 16).all()


def test_supervision_is_shared_with_the_plain_method(batch):
    method, _ = build(pico_config(method__contrast_weight=0.0))
    assert isinstance(method.network, base.Network) and method.init_memory() is None
