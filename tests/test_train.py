"""The loop as a whole, on scenes of 32 x 64 pixels and a network of a few layers."""

import copy
import json
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxseg import config as config_lib
from jaxseg import evaluate, hooks, initialization, sharding, train, workfolder
from jaxseg.checkpoints import CheckpointError, Checkpoints
from jaxseg.data import inputs
from jaxseg.data.source import PictureError
from jaxseg.methods import base
from jaxseg.methods.supervised import Supervised
from tests.data.conftest import write_tree
from tests.test_checkpoints import damage

CONFIG = dict(
    seed=0,
    total_steps=6,
    num_devices=1,
    init_from="",
    data=dict(
        name="scenes.Scenes",
        height=32,
        width=64,
        num_train=20,  # an epoch and a half of six batches of eight
        num_val=5,
        batch_size=8,
        crop=(32, 64),
    ),
    model=dict(
        name="segmentor.Segmentor",
        backbone=dict(name="backbones.tiny.Tiny", widths=(8, 16), depths=(0, 1)),
        head=dict(name="heads.fcn.FCN", features=16),
    ),
    method=dict(name="supervised.Supervised"),
    optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4),
    schedule=dict(name="poly", peak=0.1),
    every=dict(log=2, checkpoint=2, evaluate=3, pictures=2),
    evals=dict(val=dict(split="val", batch_size=2, metrics=("mean_iou",))),
)


def make_config(**changes):
    """The config above with dotted keys, written with __, set to other values."""
    config = copy.deepcopy(CONFIG)
    for key, value in changes.items():
        *sections, last = key.split("__")
        target = config
        for section in sections:
            target = target[section]
        target[last] = value
    return config


def final_state(workdir, step=None):
    with Checkpoints(workdir, read_only=True) as checkpoints:
        method, mesh = build(make_config())
        return checkpoints.restore(
            initialization.describe(make_config(), method, mesh), step=step
        )


def build(config):
    dataset = inputs.make_dataset(config)
    mesh = sharding.make_mesh(config["num_devices"])
    return base.from_config(config, dataset.labels), mesh


def lines(workdir):
    with open(os.path.join(workdir, "metrics.jsonl")) as file:
        return [json.loads(line) for line in file]


def assert_same(one, other):
    paths = jax.tree_util.tree_leaves_with_path(one)
    for (path, a), b in zip(paths, jax.tree.leaves(other), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b, err_msg=sharding.path_name(path))


def stop_after(monkeypatch, steps, number=signal.SIGTERM):
    """Sends the process a signal during the given step, as a cluster would."""
    compile_step = train.compile_step

    def compile_counting(*args, **kwargs):
        compiled, calls = compile_step(*args, **kwargs), []

        def step(state, batch):
            calls.append(1)
            if len(calls) == steps:
                signal.raise_signal(number)
            return compiled(state, batch)

        return step

    monkeypatch.setattr(train, "compile_step", compile_counting)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that nothing interrupted: its work folder and its scores."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, train.train(make_config(), str(workdir))


def test_a_run_leaves_what_a_user_looks_for(finished):
    workdir, scores = finished
    names = set(os.listdir(workdir))
    assert {"config.json", "versions.json", "metrics.jsonl", "pictures"} <= names
    assert any("tfevents" in name for name in os.listdir(workdir / "tensorboard"))
    recorded = json.loads((workdir / "config.json").read_text())
    assert recorded["optimizer"]["momentum"] == 0.9
    assert len(recorded["id2label"]) >= 8
    assert 0 <= scores["val"]["mean_iou"] <= 1


def test_metrics_are_a_line_per_log_and_evaluation(finished):
    workdir, scores = finished
    found = lines(workdir)
    training = [line for line in found if line["split"] == "train"]
    scored = [line for line in found if line["split"] == "val"]
    assert [line["step"] for line in training] == [2, 4, 6]
    assert [line["step"] for line in scored] == [3, 6]
    assert all(np.isfinite(line["loss"]) for line in training)
    assert scored[-1]["mean_iou"] == scores["val"]["mean_iou"]


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_stopping_and_resuming_equals_not_stopping(
    finished, tmp_path, monkeypatch, steps
):
    with monkeypatch.context() as patch:
        stop_after(patch, steps)
        assert train.train(make_config(), str(tmp_path)) == {}
    assert int(final_state(tmp_path).step) == steps
    scores = train.train(make_config(), str(tmp_path))
    assert_same(final_state(tmp_path), final_state(finished[0]))
    assert scores["val"]["mean_iou"] == finished[1]["val"]["mean_iou"]


def test_a_resumed_run_reads_as_one(finished, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        train.train(make_config(), str(tmp_path))
    train.train(make_config(), str(tmp_path))
    keep = ("step", "split", "loss", "mean_iou")
    ours, theirs = (
        [{k: line[k] for k in keep if k in line} for line in lines(folder)]
        for folder in (tmp_path, finished[0])
    )
    assert ours == theirs


def test_signals_are_handed_back(tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    stop_after(monkeypatch, 1, signal.SIGINT)
    train.train(make_config(), str(tmp_path))
    assert signal.getsignal(signal.SIGTERM) is before


def test_evaluation_from_the_checkpoint_gives_the_same_score(finished):
    workdir, scores = finished
    again = evaluate.run(make_config(), str(workdir))
    assert again["val"]["mean_iou"] == scores["val"]["mean_iou"]
    np.testing.assert_array_equal(again["val"]["class_iou"], scores["val"]["class_iou"])


def test_evaluation_can_take_another_run_and_another_split(finished, tmp_path):
    config = make_config(init_from=str(finished[0]), evals__val__split="test")
    scores = evaluate.run(config, str(tmp_path))
    assert np.isfinite(scores["val"]["mean_iou"])
    last = lines(tmp_path)[-1]
    assert (last["step"], last["split"], last["evaluation"]) == (6, "test", "val")


def test_a_finished_run_only_evaluates(finished, tmp_path, monkeypatch):
    workdir, scores = finished
    monkeypatch.setattr(train, "compile_step", None)  # would raise if it were called
    assert train.train(make_config(), str(workdir)).keys() == scores.keys()


def test_the_step_is_traced_once(tmp_path, monkeypatch):
    traces = []
    loss = Supervised.loss
    monkeypatch.setattr(
        Supervised, "loss", lambda *args: traces.append(1) or loss(*args)
    )
    train.train(make_config(), str(tmp_path))
    assert len(traces) == 1


def step_on(devices, batch, label=None):
    config = make_config(num_devices=devices)
    method, mesh = build(config)
    state = initialization.fresh(
        config, method, initialization.describe(config, method, mesh)
    )
    if label is not None:
        batch = batch | {"label": np.full_like(batch["label"], label)}
    batch = sharding.to_devices(batch, mesh)

    def gradients(state, batch):
        rng = jax.random.fold_in(state.rng, state.step)
        return jax.value_and_grad(method.loss, has_aux=True)(
            state.params, state, batch, rng
        )

    (loss, (after, _)), grads = jax.jit(gradients)(state, batch)
    return jax.device_get((loss, grads, after.batch_stats))


@pytest.fixture(scope="module")
def batch():
    config = make_config()
    stream = inputs.training_batches(config, inputs.make_dataset(config), start_step=0)
    first = next(stream)
    stream.close()
    return first


def test_one_and_eight_devices_agree(batch):
    one, eight = step_on(1, batch), step_on(8, batch)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(eight), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_batch_without_labels_gives_a_finite_step(batch):
    loss, grads, stats = step_on(1, batch, label=255)
    assert loss == 0
    assert all(not leaf.any() for leaf in jax.tree.leaves(grads))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(stats))


def test_twenty_steps_lower_the_loss(tmp_path):
    config = make_config(total_steps=20, every__evaluate=0, every__checkpoint=0)
    train.train(config | dict(evals={}), str(tmp_path))
    losses = [line["loss"] for line in lines(tmp_path)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_loss_that_is_not_finite_stops_at_its_step(tmp_path):
    config = make_config(
        schedule__peak=1e18, every__log=50, every__checkpoint=1, total_steps=9
    )
    with pytest.raises(hooks.TrainingDiverged, match=r"is (nan|inf) at step \d") as e:
        train.train(config, str(tmp_path))
    assert "loss" in str(e.value) or "grad_norm" in str(e.value)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        last = checkpoints.latest_step
    state = final_state(tmp_path, step=last)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_a_folder_of_another_config_is_refused(finished):
    with pytest.raises(config_lib.ConfigError, match=r"optimizer.momentum: 0.9 -> 0.8"):
        train.train(make_config(optimizer__momentum=0.8), str(finished[0]))


def test_what_does_not_change_learning_may_change(finished):
    train.train(make_config(every__log=1, num_devices=2), str(finished[0]))


def test_a_checkpoint_of_another_model_says_which_parameters(finished, tmp_path):
    config = make_config(init_from=str(finished[0]), model__head__features=24)
    with pytest.raises(CheckpointError, match="params/segmentor/head"):
        train.train(config, str(tmp_path))


def test_a_run_can_start_from_another(finished, tmp_path):
    config = make_config(init_from=str(finished[0]), schedule__peak=0.0)
    scores = train.train(config, str(tmp_path))
    # With a learning rate of 0 only the running statistics move.
    before, after = final_state(finished[0]), final_state(tmp_path)
    assert_same(after.params, before.params)
    assert scores["val"].keys() == finished[1]["val"].keys()


def test_unknown_data_keys_are_refused(tmp_path):
    with pytest.raises(config_lib.ConfigError, match="did you mean 'batch_size'"):
        config = make_config()
        config["data"]["batchsize"] = 4
        train.train(config, str(tmp_path))


def test_the_batch_must_divide_over_the_devices(tmp_path):
    with pytest.raises(config_lib.ConfigError, match="config.data.batch_size is 6"):
        train.train(make_config(num_devices=4, data__batch_size=6), str(tmp_path))


def with_folder(root, **changes):
    """The config above on a folder that `write_tree` made."""
    data = dict(name="camvid.CamVid", root=str(root), batch_size=2, crop=(24, 32))
    return make_config(data=data, **changes)


def position_of(step, root):
    """A training picture that the batch of a step shows, the first such step."""
    config = with_folder(root)
    source = inputs.make_dataset(config).source("train")
    stream = inputs.training_batches(config, inputs.make_dataset(config), start_step=0)
    stream.close()
    order = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,)))
    return source.name(int(order.permutation(len(source))[2 * (step - 1)]))


def test_a_bad_picture_ends_the_run_at_its_own_step_and_what_came_before_is_saved(
    tmp_path,
):
    root = write_tree(tmp_path / "made")
    bad = position_of(3, root)
    with open(bad, "wb") as file:
        file.write(b"no picture")
    config = with_folder(root, every__checkpoint=0, every__evaluate=0)
    with pytest.raises(PictureError, match=os.path.basename(bad)):
        train.train(config, str(tmp_path / "run"))
    with Checkpoints(tmp_path / "run", read_only=True) as checkpoints:
        assert checkpoints.latest_step == 2
    config["data"]["on_error"] = "skip"
    train.train(config, str(tmp_path / "run"))
    assert lines(tmp_path / "run")[-2]["skipped_pictures"] >= 1


def test_a_bad_validation_mask_does_not_cost_the_steps_before_it(tmp_path):
    root = write_tree(tmp_path / "made")
    mask = root / "val" / "labels" / "frame_03.png"
    Image.fromarray(np.full((24, 32), 77, np.uint8)).save(mask)
    with pytest.raises(PictureError, match=r"frame_03.png.*77"):
        train.train(with_folder(root, every__checkpoint=0), str(tmp_path / "run"))
    with Checkpoints(tmp_path / "run", read_only=True) as checkpoints:
        assert checkpoints.latest_step == 3


def test_evaluations_are_checked_before_the_first_step(tmp_path):
    config = make_config(evals__val__metrics=("mean_iuo",))
    with pytest.raises(config_lib.ConfigError, match="did you mean 'mean_iou'"):
        train.train(config, str(tmp_path))
    with pytest.raises(ValueError, match="no split 'valid'"):
        train.train(make_config(evals__val__split="valid"), str(tmp_path))


def test_a_loss_that_is_not_finite_is_noticed_without_log_lines(tmp_path):
    config = make_config(schedule__peak=1e18)
    config["every"] = dict(log=0, checkpoint=0, evaluate=0)
    with pytest.raises(hooks.TrainingDiverged):
        train.train(config, str(tmp_path))


def test_an_evaluation_that_a_signal_broke_off_is_made_up(
    finished, tmp_path, monkeypatch
):
    evaluator = evaluate.Evaluator.__call__

    def interrupted(self, state, report, *, stop):
        signal.raise_signal(signal.SIGTERM)
        return evaluator(self, state, report, stop=stop)

    with monkeypatch.context() as patch:
        patch.setattr(evaluate.Evaluator, "__call__", interrupted)
        assert train.train(make_config(), str(tmp_path)) == {}
    train.train(make_config(), str(tmp_path))
    found, expected = (
        [(x["step"], x["mean_iou"]) for x in lines(folder) if x["split"] == "val"]
        for folder in (tmp_path, finished[0])
    )
    assert found == expected[:2]


def test_a_damaged_newest_checkpoint_is_trained_and_written_again(tmp_path):
    train.train(make_config(), str(tmp_path))
    expected = final_state(tmp_path)
    damage(tmp_path / "checkpoints" / "6" / "params")
    train.train(make_config(), str(tmp_path))
    assert_same(final_state(tmp_path, step=6), expected)


def test_a_work_folder_without_a_run_is_not_scored_by_chance(data_root, tmp_path):
    weights = data_root / "weights" / "mobilenet_v2_1.0_224.safetensors"
    config = make_config(init_from=str(weights))
    backbone = dict(name="backbones.mobilenet_v2.MobileNetV2")
    config["model"]["backbone"] = backbone
    with pytest.raises(
        config_lib.ConfigError, match="classifier, head would be chance"
    ):
        evaluate.run(config, str(tmp_path))


def test_a_run_is_not_scored_as_another_model_or_by_other_classes(finished, tmp_path):
    config = make_config(model__mean=(0.0, 0.0, 0.0))
    with pytest.raises(config_lib.ConfigError, match="model.mean"):
        evaluate.run(config, str(finished[0]))
    root = write_tree(tmp_path / "made")
    with pytest.raises(config_lib.ConfigError, match="id2label"):
        evaluate.run(with_folder(root), str(finished[0]))


def test_the_best_checkpoint_is_chosen_on_val_whatever_the_order():
    scores = {name: {"mean_iou": v} for name, v in (("test", 0.1), ("val", 0.2))}
    assert train.best_metrics(scores) == {"mean_iou": 0.2}
    assert train.best_metrics({"val": {"mean_iou": np.nan}}) is None


BARE = """
import sys
for name in ("clu", "ml_collections", "tensorflow", "tensorflow_datasets", "grain",
             "array_record", "torch", "tensorboard", "matplotlib", "cv2"):
    sys.modules[name] = None
from jaxseg import train
from tests.test_train import make_config
config = make_config(data=dict(
    name="camvid.CamVid", root=sys.argv[1], batch_size=8, crop=(24, 32)))
print(train.train(config, sys.argv[2])["val"]["mean_iou"])
"""


def test_a_folder_trains_with_nothing_but_the_core_installed(tmp_path):
    write_tree(tmp_path / "camvid")
    subprocess.run(
        [sys.executable, "-c", BARE, tmp_path / "camvid", tmp_path / "run"],
        check=True,
        timeout=300,
    )
    assert lines(tmp_path / "run")[-1]["split"] == "val"


def test_training_and_evaluation_import_neither_tensorflow_nor_torch(tmp_path):
    code = (
        "import sys\n"
        "from jaxseg import evaluate, train\n"
        "from tests.test_train import make_config\n"
        "train.train(make_config(total_steps=1), sys.argv[1])\n"
        "evaluate.run(make_config(total_steps=1), sys.argv[1])\n"
        "assert not {'tensorflow', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, timeout=300)


def test_augmenting_on_the_device_learns_the_same(tmp_path):
    losses = []
    for where, data in (("host", {}), ("device", {"canvas": [32, 64]})):
        config = make_config(total_steps=2, data__augment_on=where)
        config["data"] |= data
        train.train(config, str(tmp_path / where))
        lines = (tmp_path / where / "metrics.jsonl").read_text().splitlines()
        first = next(
            line for line in map(json.loads, lines) if line["split"] == "train"
        )
        losses.append(first["loss"])
    # Pictures differ by a grey level at most (OpenCV rounds otherwise).
    np.testing.assert_allclose(losses[0], losses[1], rtol=5e-3)


def test_masks_are_not_hidden_from_a_method_that_needs_them(tmp_path):
    config = make_config(data__supervision="image_labels")
    with pytest.raises(config_lib.ConfigError, match="Supervised learns from masks"):
        train.train(config, str(tmp_path / "run"))


def test_word_vectors_that_nobody_reads_are_refused(tmp_path):
    config = make_config() | {"word_vectors": dict(name="word_vectors.drawn", size=4)}
    with pytest.raises(config_lib.ConfigError, match="Supervised reads no word"):
        train.train(config, str(tmp_path / "run"))


def test_learning_from_nothing_is_said():
    method, _ = build(make_config())
    (message,) = method.warnings(20, 100, {"loss": 0.0, "cross_entropy": 0.0})
    assert "nothing was learnt" in message
    assert not method.warnings(20, 100, {"loss": 1e-9, "cross_entropy": 1e-9})
    assert method.warnings(21, 100, {"cross_entropy": 0.0}) == (message,)  # said once


class Studious(Supervised):
    self_training = True


def said_protocol(monkeypatch, method=Supervised, **changes):
    """The protocol of a run with two unseen classes, and what the log says."""
    config = make_config(data__unseen=("car", "person"), **changes)
    config["method"] = dict(name=f"{method.__module__}:{method.__name__}")
    said = []
    for level in ("info", "warning"):
        monkeypatch.setattr(
            train.logging, level, lambda text, *given: said.append(text % given)
        )
    return train.zero_shot_protocol(config, build(config)[0]), said


def test_the_protocol_of_a_zero_shot_run_is_said_and_of_others_nothing(monkeypatch):
    protocol, said = said_protocol(monkeypatch)
    assert protocol["setting"] == "inductive"
    assert protocol["unseen"] == ["car", "person"]
    assert len(said) == 1 and said[0].endswith(
        "8 classes are seen, 2 unseen: car, person"
    )
    plain = make_config()
    assert train.zero_shot_protocol(plain, build(plain)[0]) == {} and len(said) == 1


def test_a_method_says_that_it_trains_itself(monkeypatch):
    protocol, said = said_protocol(monkeypatch, Studious)
    assert protocol["setting"] == "transductive" and "transductive" in said[0]


@pytest.mark.parametrize("place", ["", "checkpoints"])
def test_a_run_that_goes_on_from_a_transductive_one_is_too(
    tmp_path, monkeypatch, place
):
    earlier, _ = said_protocol(monkeypatch, Studious)
    labels = build(make_config())[0].labels
    workfolder.claim(make_config(), str(tmp_path), labels, protocol=earlier)
    protocol, said = said_protocol(monkeypatch, init_from=str(tmp_path / place))
    assert protocol == earlier and len(said) == 1


def test_weights_that_learnt_the_unseen_classes_are_warned_of(tmp_path, monkeypatch):
    labels = build(make_config())[0].labels
    workfolder.claim(make_config(), str(tmp_path), labels)
    protocol, said = said_protocol(monkeypatch, init_from=str(tmp_path))
    assert "not zero-shot" in said[0] and said[0].endswith("classes car, person")
    assert protocol["setting"] == "inductive"
