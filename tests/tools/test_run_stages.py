"""Several runs by one command: joined, resumed, refused; see staged_config.py."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from absl import logging

from jaxseg import predict, reporting
from jaxseg.config import ConfigError
from jaxseg.tools import run_stages
from tests import xla

ROOT = pathlib.Path(__file__).parent.parent.parent
CONFIG = pathlib.Path(__file__).parent / "staged_config.py"


def read(workdir, *, words="", **given):
    return run_stages.read_stages(f"{CONFIG}:{words}", str(workdir), **given)


def run(workdir, **given):
    return run_stages.run(read(workdir, **given), str(workdir))


@pytest.fixture(scope="module")
def said():
    """What was logged while both stages ran from the start."""
    return []


@pytest.fixture(scope="module")
def finished(tmp_path_factory, said):
    """The work folder of both stages, run from the start."""
    workdir = tmp_path_factory.mktemp("stages")

    def note(text, *args, **_):
        said.append(text % args if args else text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, "info", note)
        assert run(workdir)
    return workdir


@pytest.fixture
def copied(finished, tmp_path):
    """A folder to change, in which both stages are finished."""
    return shutil.copytree(finished, tmp_path / "copied")


@pytest.fixture
def trained(monkeypatch):
    """The stages that are trained, in order, without training them."""
    names = []
    monkeypatch.setattr(
        "jaxseg.train.train",
        lambda config, workdir, **_: names.append(os.path.basename(workdir)),
    )
    return names


def test_the_second_stage_begins_from_the_first(finished):
    # Its learning rate is 0: what it ends with is what it began with.
    _, first = predict.load_state(str(finished / "first"))
    _, second = predict.load_state(str(finished / "second"))
    assert (int(first.step), int(second.step)) == (4, 2)
    jax.tree.map(np.testing.assert_array_equal, first.params, second.params)


def test_the_summary_has_the_last_scores_of_each_stage(finished):
    found = json.loads((finished / "stages.json").read_text())["stages"]
    assert [stage["name"] for stage in found] == ["first", "second"]
    for stage in found:
        lines = pathlib.Path(stage["workdir"], "metrics.jsonl").read_text().splitlines()
        last = [x for x in map(json.loads, lines) if x["split"] == "val"][-1]
        assert stage["total_steps"] == last["step"]
        assert stage["scores"]["val"]["mean_iou"] == last["mean_iou"]
    assert found[1]["init_from"] == found[0]["workdir"]


@pytest.mark.usefixtures("finished")
def test_every_line_says_where_the_whole_is(said):
    lines = [line for line in said if "  step " in line]
    first, second = "stage 1/2 first", "stage 2/2 second"
    expected = [f"{first}, {i}/6 of all  step {i}/4  " for i in (1, 2, 3, 4)]
    expected += [f"{second}, {4 + i}/6 of all  step {i}/2  " for i in (1, 2)]
    assert all(x.startswith(y) for x, y in zip(lines, expected, strict=True))


@pytest.mark.usefixtures("finished")
def test_the_log_ends_with_the_table(said):
    assert said[-1].startswith("the final scores of 2 stages:\n")


def test_what_is_finished_is_not_run_again(copied, trained):
    assert run(copied) and trained == []


def test_a_stage_whose_scores_are_lost_is_scored_again(copied, trained):
    (copied / "second" / "evaluations" / "val.json").unlink()
    assert not run(copied) and trained == ["second"]


def test_a_stage_is_scored_again_by_another_evaluation(copied, trained):
    run(copied, overrides=["--config.evals.val.batch_size=1"])
    assert trained[0] == "first"


def test_another_config_is_refused_before_anything_runs(copied, trained):
    with pytest.raises(ConfigError, match=r"first belongs .*\n.*seed: 0 -> 1"):
        run(copied, overrides=["--config.seed=1"])
    shutil.rmtree(copied / "first")
    with pytest.raises(ConfigError, match=r"second belongs .*\n.*seed: 0 -> 1"):
        run(copied, overrides=["--config.seed=1"])
    assert trained == []


def test_a_stage_is_not_left_behind_by_a_new_first_one(copied, trained):
    shutil.rmtree(copied / "first")
    with pytest.raises(ConfigError, match="second holds a run, but .*first"):
        run(copied)
    assert trained == []


def test_a_folder_that_was_moved_goes_on(copied, trained):
    path = copied / "second" / "config.json"
    assert json.loads(path.read_text())["init_from"] != str(copied / "first")
    assert run(copied) and trained == []
    assert json.loads(path.read_text())["init_from"] == str(copied / "first")


def test_one_stage_begins_from_the_one_before_it(copied, trained):
    shutil.rmtree(copied / "second")
    (stage,) = read(copied, names=["second"])
    assert stage.config["init_from"] == str(copied / "first")
    with pytest.raises(ConfigError, match="begins from 'first', which is not finished"):
        read(copied / "elsewhere", names=["second"])


def test_one_stage_begins_from_elsewhere_if_told_to(tmp_path):
    given = ["--config.init_from=there"]
    (stage,) = read(tmp_path, names=["second"], overrides=given)
    assert stage.config["init_from"] == "there"
    stages = read(tmp_path, overrides=given)
    starts = [stage.config["init_from"] for stage in stages]
    assert starts == ["there", str(tmp_path / "first")]


def test_words_and_keys_are_for_all_stages(tmp_path):
    stages = read(tmp_path, words="long", overrides=["--config.schedule.peak", "3.5"])
    assert [stage.total_steps for stage in stages] == [100_000, 100_000]
    assert {stage.config["schedule"]["peak"] for stage in stages} == {3.5}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(names=["secnd"]), "no stage is called 'secnd'; did you mean 'second'"),
        (dict(names=["second", "first"]), "in the config's order, first,second"),
        (dict(words="second"), "'second' is a stage: choose it with --stages second"),
        (dict(overrides=["--config.sed=1"]), 'first: .*Did you mean "seed"'),
        (dict(overrides=["--wrkdir=x"]), "wrkdir"),
        (dict(overrides=["photos"]), "unexpected arguments: .*photos"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, given, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, **given)


@pytest.mark.parametrize("name", ["quickstart.py", "nowhere.py"])
def test_a_config_without_stages_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="no tuple STAGES|does not exist"):
        run_stages.read_stages(str(ROOT / "configs" / name), str(tmp_path))


def test_stages_without_an_order_are_refused(tmp_path):
    (tmp_path / "config.py").write_text("STAGES = {'first', 'second'}")
    with pytest.raises(ConfigError, match="no tuple STAGES"):
        run_stages.stage_names(str(tmp_path / "config.py"))


def test_a_mistake_in_the_last_stage_is_found_before_the_first(tmp_path, trained):
    stages = read(tmp_path)
    stages[1].config["method"]["temprature"] = 1.0
    with pytest.raises(ConfigError, match="temprature"):
        run_stages.run(stages, str(tmp_path))
    assert trained == []


def test_a_batch_that_devices_cannot_share_is_found_before_the_first(tmp_path, trained):
    stages = read(tmp_path)
    stages[1].config["num_devices"] = 8
    stages[1].config["data"]["batch_size"] = 4
    message = "stage 'second': config.data.batch_size is 4, which 8 devices"
    with pytest.raises(ConfigError, match=message):
        run_stages.run(stages, str(tmp_path))
    assert trained == []


def test_an_evaluation_of_no_score_is_found_before_the_first(tmp_path, trained):
    stages = read(tmp_path)
    stages[1].config["evals"]["val"]["metrics"] = ("mean_uoi",)
    with pytest.raises(ConfigError, match="the stage 'second'.*mean_uoi"):
        run_stages.run(stages, str(tmp_path))
    assert trained == []


def test_the_table_has_zero_shot_scores_first(finished, monkeypatch):
    scores = {"val": {"mean_iou": 0.25, "unseen_iou": None, "seen_iou": 0.5}}
    monkeypatch.setattr(run_stages, "final_scores", lambda stage: scores)
    head, row, *_ = run_stages.table(read(finished)).splitlines()
    found = " ".join(head.split())
    assert found == "stage evaluation seen IoU unseen IoU mean IoU"
    assert row.split() == ["first", "val", "50.00", "-", "25.00"]


def test_a_signal_stops_and_the_rest_is_as_if_it_had_not(
    finished, tmp_path, monkeypatch
):
    step = reporting.Report.step

    def interrupted(report, number):
        step(report, number)
        if number == 3:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(reporting.Report, "step", interrupted)
        assert not run(tmp_path)
    assert (tmp_path / "first" / "checkpoints" / "3").is_dir()
    assert not (tmp_path / "second").exists()
    assert not (tmp_path / "stages.json").exists()
    assert run(tmp_path)
    states = [predict.load_state(f"{x}/second")[1] for x in (finished, tmp_path)]
    jax.tree.map(np.testing.assert_array_equal, *(state.params for state in states))


@pytest.fixture
def command(tmp_path):
    """Starts the tool on a first stage of 100 000 steps, in tmp_path."""

    def start(*arguments):
        words = (f"{CONFIG}:long", "--workdir", tmp_path, "--config.every.log=50")
        module = (sys.executable, "-m", "jaxseg.tools.run_stages", "--config")
        return subprocess.Popen(
            [*map(str, (*module, *words, *arguments))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"XLA_FLAGS": xla.FAST},
        )

    return start


def stopped(process, workdir):
    """Stops a command after its next checkpoint; its exit code and output."""
    before = set((workdir / "first" / "checkpoints").glob("[0-9]*"))
    deadline = time.time() + 120
    while set((workdir / "first" / "checkpoints").glob("[0-9]*")) <= before:
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    return process, process.communicate(timeout=120)[0]


@pytest.mark.slow
def test_the_command_stops_resumes_and_refuses(command, tmp_path):
    process, output = stopped(command(), tmp_path)
    assert process.returncode == 0, output
    assert "stage 1/2 first: stopped; the same command goes on" in output
    newest = max(int(x.name) for x in (tmp_path / "first" / "checkpoints").iterdir())
    process, output = stopped(command(), tmp_path)
    assert f"resuming from {tmp_path}/first/checkpoints, step {newest}\n" in output
    process = command("--config.seed=1")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 1 and "seed: 0 -> 1" in output
    assert "Traceback" not in output
