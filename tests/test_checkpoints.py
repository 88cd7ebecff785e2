import glob
import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import sharding
from jaxseg.checkpoints import CheckpointError, Checkpoints
from jaxseg.state import TrainState

OPTIMIZER = optax.chain(optax.trace(0.9), optax.scale_by_learning_rate(lambda s: 0.1))


def make_state(step, value=None, rows=4):
    value = float(step if value is None else value)
    params = {
        "segmentor": {"kernel": jnp.full((rows, 8), value), "bias": jnp.zeros(8)},
        "projection": {"kernel": jnp.full((3,), value)},
    }
    return TrainState(
        step=jnp.int32(step),
        rng=jax.random.key(7),
        params=params,
        batch_stats={"segmentor": {"mean": jnp.full(8, value)}},
        opt_state={name: OPTIMIZER.init(tree) for name, tree in params.items()},
        memory={"values": jnp.full((2, 16), value)},
    )


def target(state=None, devices=1, rules=()):
    shapes = jax.eval_shape(lambda: state or make_state(0))
    placed = sharding.place_state(shapes, sharding.make_mesh(devices), rules)
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=place
        ),
        shapes,
        placed,
    )


def saved(workdir, *steps, metrics=None):
    with Checkpoints(workdir) as checkpoints:
        for step in steps:
            checkpoints.save(make_state(step), metrics=(metrics or {}).get(step))


def damage(folder):
    """Cuts the arrays of a checkpoint short, leaving its description alone."""
    for path in glob.glob(f"{folder}/**", recursive=True):
        if os.path.isfile(path) and not os.path.basename(path).startswith("_"):
            os.truncate(path, 10)


def assert_same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def test_everything_comes_back(tmp_path):
    saved(tmp_path, 3)
    with Checkpoints(tmp_path) as checkpoints:
        assert_same(checkpoints.restore(target()), make_state(3))


def test_a_state_may_be_donated_as_soon_as_save_returns(tmp_path):
    state = make_state(1)
    scale = jax.jit(lambda s: s.replace(params=jax.tree.map(lambda p: p * 9, s.params)))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state)
        jax.block_until_ready(scale(state))
        for leaf in jax.tree.leaves(state.params):
            leaf.delete()
    with Checkpoints(tmp_path) as checkpoints:
        assert_same(checkpoints.restore(target()).params, make_state(1).params)


def test_the_newest_and_the_best_are_kept_also_after_a_restart(tmp_path):
    scores = {1: {"mean_iou": 0.5}, 2: {"mean_iou": 0.9}, 4: {"mean_iou": 0.1}}
    saved(tmp_path, 1, 2, 3, metrics=scores)
    saved(tmp_path, 4, 5, 6, metrics=scores)
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.latest_step, checkpoints.best_step) == (6, 2)
        assert sorted(os.listdir(checkpoints.folder)) == ["2", "5", "6"]


def test_a_checkpoint_restores_on_another_number_of_devices(tmp_path):
    rules = [("memory/values", (None, "data"))]
    eight = jax.device_put(
        make_state(1), jax.tree.map(lambda leaf: leaf.sharding, target(None, 8, rules))
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(eight)
    with Checkpoints(tmp_path) as checkpoints:
        two = checkpoints.restore(target(None, 2, rules))
    assert two.memory["values"].addressable_shards[0].data.shape == (2, 8)
    assert_same(two, make_state(1))


def test_evaluation_reads_parameters_and_statistics_only(tmp_path):
    saved(tmp_path, 2)
    for item in ("opt_state", "memory"):
        damage(tmp_path / "checkpoints" / "2" / item)
    wanted = target()
    wanted = wanted.replace(params={"segmentor": wanted.params["segmentor"]})
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        state = checkpoints.restore_for_evaluation(wanted)
    assert state.opt_state is None and state.memory is None
    assert set(state.params) == {"segmentor"}
    assert_same(state.params["segmentor"], make_state(2).params["segmentor"])
    assert_same(state.batch_stats, make_state(2).batch_stats)


def test_a_damaged_checkpoint_gives_way_to_an_older_one(tmp_path):
    saved(tmp_path, 1, 2)
    damage(tmp_path / "checkpoints" / "2" / "params")
    with Checkpoints(tmp_path) as checkpoints:
        assert int(checkpoints.restore(target()).step) == 1


def test_of_several_hosts_none_goes_on_with_an_older_one(tmp_path, monkeypatch):
    saved(tmp_path, 1, 2)
    damage(tmp_path / "checkpoints" / "2" / "params")
    wanted = target()
    with Checkpoints(tmp_path) as checkpoints:
        monkeypatch.setattr(sharding, "of_processes", lambda step: [step, step])
        monkeypatch.setattr(jax, "process_count", lambda: 2)
        with pytest.raises(CheckpointError, match="/2 cannot be read by process 0"):
            checkpoints.restore(wanted)
        monkeypatch.undo()


def test_hosts_that_see_different_checkpoints_are_refused(tmp_path, monkeypatch):
    saved(tmp_path, 1, 2)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step_of_all() == 2
        monkeypatch.setattr(sharding, "of_processes", lambda step: [step, 1])
        with pytest.raises(CheckpointError, match="2 for process 0, 1 for process 1"):
            checkpoints.restore(target())
        monkeypatch.setattr(sharding, "of_processes", lambda step: [step, -1])
        with pytest.raises(CheckpointError, match="none for process 1"):
            checkpoints.latest_step_of_all()


def test_a_checkpoint_of_another_model_names_the_parameters(tmp_path):
    saved(tmp_path, 1)
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(CheckpointError, match="another model") as error,
    ):
        checkpoints.restore(target(make_state(0, rows=5)))
    message = str(error.value)
    assert "params/segmentor/kernel: float32[4, 8] in the checkpoint" in message
    assert "float32[5, 8] in the model" in message
    assert "projection" not in message


def test_another_dtype_is_not_cast_in_silence(tmp_path):
    saved(tmp_path, 1)
    half = make_state(0)
    half = half.replace(batch_stats=jax.tree.map(jnp.bfloat16, half.batch_stats))
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(CheckpointError, match="float32.*bfloat16"),
    ):
        checkpoints.restore(target(half))


def test_a_missing_step_names_those_there_are(tmp_path):
    saved(tmp_path, 1, 2)
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(CheckpointError, match=r"no step 7; there are: \[1, 2\]"),
    ):
        checkpoints.restore(target(), step=7)


def test_a_folder_without_checkpoints_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="not the work folder"):
        Checkpoints(tmp_path / "nowhere", read_only=True)


def test_parameters_that_are_not_finite_are_not_saved(tmp_path):
    saved(tmp_path, 1)
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(CheckpointError, match="not finite.*step 1, is intact"),
    ):
        checkpoints.save(make_state(2, value=np.nan))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 12 MB, which only root may make."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(tmp_path)],
        capture_output=True,
    )
    if made.returncode:
        pytest.skip(f"cannot mount a small file system: {made.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_full_disk_leaves_the_last_good_checkpoint_and_says_so(small_disk):
    noise = np.random.default_rng(0).normal(size=(2, 700_000))  # 5.6 MB a save
    state = make_state(1).replace(memory={"values": jnp.asarray(noise, jnp.float32)})
    with Checkpoints(small_disk) as checkpoints:
        checkpoints.save(state)
        checkpoints.wait()
        with pytest.raises(CheckpointError) as error:
            for step in (2, 3, 4):
                checkpoints.save(state.replace(step=jnp.int32(step)))
                checkpoints.wait()
    assert "no space is left on the disk" in str(error.value)
    assert "is intact" in str(error.value)
    with Checkpoints(small_disk) as checkpoints:
        restored = checkpoints.restore(target(state))
    assert_same(restored.memory, state.memory)


WRITER = """
import sys
import jax.numpy as jnp
from jaxseg.checkpoints import Checkpoints
from tests.test_checkpoints import make_state
large = {"values": jnp.arange(40e6).reshape(2, -1)}
with Checkpoints(sys.argv[1]) as checkpoints:
    checkpoints.save(make_state(1))
    checkpoints.wait()
    checkpoints.save(make_state(2).replace(memory=large))
    print("saving", flush=True)
"""


def test_a_process_killed_while_saving_leaves_the_last_whole_one(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
    )
    partial = []
    deadline = time.time() + 60
    while not partial and time.time() < deadline and process.poll() is None:
        partial = glob.glob(f"{tmp_path}/checkpoints/2.*tmp*")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert partial, "the second save was not under way when the process was killed"
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 1
        assert_same(checkpoints.restore(target()), make_state(1))
        checkpoints.save(make_state(2))
    assert not glob.glob(f"{tmp_path}/checkpoints/2.*tmp*")


def test_what_a_run_is_told_is_kept_with_each_checkpoint(tmp_path):
    told = {"setting": "inductive", "unseen": ["cat"]}
    with Checkpoints(str(tmp_path), metadata=told) as checkpoints:
        checkpoints.save(make_state(1))
    saved(tmp_path, 2)
    with Checkpoints(str(tmp_path), read_only=True) as checkpoints:
        assert checkpoints.metadata(1) == told and checkpoints.metadata(2) == {}
