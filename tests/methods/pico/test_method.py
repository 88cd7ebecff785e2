"""PiCo as the trainer sees it, on small scenes and with a network of a few layers."""

import copy
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import evaluate, initialization, sharding, train
from jaxseg.checkpoints import Checkpoints
from jaxseg.data import inputs
from jaxseg.methods.pico import PiCo
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
    semi_hard_fraction=0.5,
    num_positives=4,
    num_negatives=6,
    bank_columns=220,  # of 260
    num_mixed_negatives=5,
    num_anchor_mixes=3,
)


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


def restored(config, workdir):
    """A method, and the newest state of a run."""
    method, mesh = build(config)
    target = initialization.describe(config, method, mesh)
    with Checkpoints(str(workdir), read_only=True) as checkpoints:
        return method, checkpoints.restore(target)


def steps_on(num_devices, batch, steps, fill=lambda memory: memory, **changes):
    """The state and the metrics after some steps on the same batch."""
    method, state, mesh = start(pico_config(num_devices=num_devices, **changes))
    memory = jax.device_put(fill(state.memory), sharding.replicated(mesh))
    state = state.replace(memory=memory)
    batch = sharding.to_devices(batch, mesh)
    step = train.compile_step(method, mesh, state, batch)
    for _ in range(steps):
        state, metrics = step(state, batch)
    return jax.device_get((state.params, state.memory, metrics))


@pytest.fixture(scope="module")
def batch():
    return first_batch(pico_config())


def with_random_entries(memory):
    """A memory with all pixels and half of the regions."""
    rng = np.random.default_rng(0)

    def fill(queue, count):
        values = rng.normal(size=queue.values.shape)
        values /= np.linalg.norm(values, axis=-1, keepdims=True)
        return queue.replace(
            values=jnp.asarray(values, queue.values.dtype),
            pointer=jnp.full_like(queue.pointer, count % values.shape[1]),
            fill=jnp.full_like(queue.fill, count),
        )

    return memory.replace(
        region=fill(memory.region, METHOD["region_size"] // 2),
        pixel=fill(memory.pixel, METHOD["pixel_size"]),
    )


def test_one_and_eight_devices_agree_through_the_network(batch):
    changes = dict(fill=with_random_entries, method__warmup_steps=0)
    params, memory, metrics = steps_on(1, batch, 1, **changes)
    params_8, memory_8, metrics_8 = steps_on(8, batch, 1, **changes)
    for ours, theirs in (
        (memory.region, memory_8.region),
        (memory.pixel, memory_8.pixel),
    ):
        np.testing.assert_array_equal(ours.pointer, theirs.pointer)
        np.testing.assert_array_equal(ours.fill, theirs.fill)
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-5)
    assert metrics["contrast"] > 0 and metrics["bank_fill"] > 0.8
    for name, value in metrics.items():
        np.testing.assert_allclose(value, metrics_8[name], rtol=1e-5, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), params, params_8
    )


@pytest.mark.parametrize(
    "contrast_set",
    [
        pytest.param("batch", marks=pytest.mark.slow),
        pytest.param("memory", marks=pytest.mark.slow),
        "both",
    ],
)
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


@pytest.mark.parametrize(
    "sizes",
    [
        dict(),
        pytest.param(dict(method__region_size=0), marks=pytest.mark.slow),
        pytest.param(dict(method__pixel_size=0), marks=pytest.mark.slow),
    ],
)
def test_stopping_and_resuming_equals_not_stopping_with_the_memory(
    tmp_path, monkeypatch, sizes
):
    config = pico_config(total_steps=4, evals={}, **sizes)
    whole, broken = str(tmp_path / "whole"), str(tmp_path / "broken")
    train.train(config, whole)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        assert train.train(config, broken) == {}
    train.train(config, broken)
    (_, state), (_, resumed) = (restored(config, path) for path in (whole, broken))
    assert_same(state, resumed)
    for name in ("region", "pixel"):
        queue, size = getattr(state.memory, name), config["method"][f"{name}_size"]
        assert queue is None if not size else queue.fill.max() == size
    assert lines(whole)[-1]["contrast"] > 0


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs with contrast and without: config, work folder and scores."""
    found = {}
    for name, weight in (("pico", 1.0), ("cross_entropy", 0.0)):
        config = pico_config(total_steps=9, method__contrast_weight=weight)
        config["every"] = dict(log=3, checkpoint=9, evaluate=9)
        workdir = str(tmp_path_factory.mktemp(name))
        found[name] = config, workdir, train.train(config, workdir)
    return found


@pytest.mark.slow
def test_a_run_that_goes_on_with_eight_devices_keeps_its_memory(runs):
    config, workdir, _ = runs["pico"]
    _, state = restored(config | {"num_devices": 8}, workdir)
    assert state.memory.pixel.values.sharding.is_fully_replicated
    assert state.memory.pixel.fill.any()


BOTH_WAYS = pytest.mark.parametrize(
    ("trained", "other"), [("pico", "cross_entropy"), ("cross_entropy", "pico")]
)


@BOTH_WAYS
def test_a_run_scores_the_same_with_the_other_config(runs, tmp_path, trained, other):
    _, workdir, scores = runs[trained]
    config, _, others = runs[other]
    found = evaluate.run(config | dict(init_from=workdir), str(tmp_path))
    np.testing.assert_equal(found["val"], scores["val"])
    np.testing.assert_equal(evaluate.run(config, workdir)["val"], scores["val"])
    assert scores["val"]["mean_iou"] != others["val"]["mean_iou"]


@pytest.mark.slow
@BOTH_WAYS
def test_a_run_can_start_from_the_other(runs, tmp_path, trained, other):
    source, workdir, _ = runs[trained]
    config = copy.deepcopy(runs[other][0])
    config |= dict(init_from=workdir, evals={}, total_steps=1)
    config["schedule"]["peak"] = 0.0  # with which only running statistics move
    train.train(config, str(tmp_path))
    (_, before), (_, after) = restored(source, workdir), restored(config, tmp_path)
    assert_same(after.params["segmentor"], before.params["segmentor"])
    assert ("projection" in after.params) == (other == "pico")
    if other == "pico":
        assert after.memory.pixel.fill.any()
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.params))


def test_prediction_is_that_of_the_segmentor_alone(runs, batch):
    config, workdir, _ = runs["pico"]
    method, state = restored(config, workdir)
    image = batch["image"][:1]
    params, stats = state.params["segmentor"], state.batch_stats["segmentor"]
    segment = jax.jit(method.segmentor.apply, static_argnames="train")
    variables = {"params": params, "batch_stats": stats}
    expected = segment(variables, image, train=False).logits
    # Without the projection's parameters nothing can be computed with them.
    state = state.replace(
        params={"segmentor": params}, batch_stats={"segmentor": stats}, memory=None
    )
    found = jax.jit(method.predict)(state, {"image": image})
    np.testing.assert_array_equal(found, expected)


def test_the_step_writes_the_memory_in_place(batch):
    config = pico_config(method__region_size=41, method__pixel_size=37)
    method, mesh = build(config)
    state = initialization.describe(config, method, mesh)
    batch = sharding.to_devices(batch, mesh)
    text = train.compile_step(method, mesh, state, batch).as_text()
    for length in (41, 37):
        bank = rf"f32\[10,{length},8\]"
        assert re.search(bank, text)
        assert not re.findall(rf"= {bank}\S* copy\S*\(.*", text)


def test_what_is_not_finite_is_not_remembered(batch):
    method, state, _ = start(pico_config())
    state = state.replace(memory=with_random_entries(state.memory))
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), state.params)
    loss, (after, _) = jax.jit(method.loss)(broken, state, batch, jax.random.key(0))
    assert not np.isfinite(loss)
    assert_same(after.memory, state.memory)


@pytest.mark.parametrize(
    "changes",
    [
        dict(method__contrast_set="batch"),
        dict(method__contrast_set="batch", method__contrast_scope="intra"),
    ],
)
def test_twenty_steps_lower_the_loss(tmp_path, changes):
    config = pico_config(
        total_steps=20,
        every__evaluate=0,
        every__checkpoint=0,
        method__warmup_steps=0,
        **changes,
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


@pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)]
)
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


def test_a_group_size_that_does_not_divide_the_batch_is_named(batch):
    with pytest.raises(
        ValueError, match="a batch of 8 does not split into groups of 3"
    ):
        steps_on(1, batch, 1, method__group_size=3)


def test_the_authors_memory_trains_for_comparison(batch):
    changes = dict(
        contrast_set="memory",
        official_memory_compat=True,
        warmup_steps=0,
        example_mode="all",
        num_mixed_negatives=0,
        num_anchor_mixes=0,
    )
    changes = {f"method__{key}": value for key, value in changes.items()}
    _, memory, metrics = steps_on(1, batch, 2, **changes)
    assert metrics["contrast"] > 0 and metrics["bank_fill"] == 1
    assert memory.region.pointer[0] == 0  # class 0 never enters
    assert (memory.pixel.pointer[1:] <= 16).all()
