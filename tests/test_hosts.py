"""Whole runs of two processes with four devices each, from the command line."""

import json
import pathlib
import re
import signal
import socket
import time

import pytest

from tests import hosts

ROOT = pathlib.Path(__file__).parent.parent
TRAIN = ("-m", "jaxseg.main", "--config", ROOT / "configs/quickstart.py:tiny")
TRAIN = (*TRAIN, "--config.evals.val.batch_size=8", "--config.data.num_val=12")
STEPS = 30
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]


def flags(workdir, checkpoint=3):
    return (
        *("--workdir", workdir, f"--config.total_steps={STEPS}"),
        *("--config.every.log=5", "--config.every.evaluate=0"),
        f"--config.every.checkpoint={checkpoint}",
    )


def wait_for_step(workdir, step, started, timeout=480):
    """Until a checkpoint of this step or a later one is there."""
    deadline = time.monotonic() + timeout
    while newest(workdir) < step:
        ended = [process for process in started if process.poll() is not None]
        assert not ended, ended[0].stdout.read()
        assert time.monotonic() < deadline, f"step {step} did not come"
        time.sleep(0.05)


def newest(workdir):
    folder = pathlib.Path(workdir) / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return max((int(name) for name in names if name.isdigit()), default=0)


def scores(workdir):
    return json.loads((workdir / "evaluations" / "val.json").read_text())


def interrupted(workdir, after, which=0, **where):
    """Trains until a step is saved, sends one process SIGTERM: the step of the end."""
    with hosts.processes(*TRAIN, *flags(workdir), **where) as started:
        wait_for_step(workdir, after, started)
        started[which].send_signal(signal.SIGTERM)
        codes, outputs = hosts.finish(started)
    assert not any(codes), "\n".join(outputs)
    step = int(re.search(r"stopped by SIGTERM: step (\d+) is saved", outputs[0])[1])
    assert step == newest(workdir) and after <= step < STEPS
    return step


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that moved from 8 devices on two hosts to 2 and to 1, and one that did not.

    The signal goes to the second host alone.
    """
    moved, stayed = (tmp_path_factory.mktemp(name) for name in ("moved", "stayed"))
    first = interrupted(moved, 3, which=1, count=2, devices=4)
    second = interrupted(moved, first + 3, count=1, devices=2)
    for workdir in (moved, stayed):
        hosts.run(*TRAIN, *flags(workdir, 40), count=1, devices=1)
    return moved, stayed, (first, second)


def test_a_run_that_moved_scores_as_one_that_stayed(runs):
    moved, stayed, _ = runs
    one, other = (scores(folder)["scores"]["mean_iou"] for folder in (moved, stayed))
    assert abs(one - other) < 0.01


def test_a_run_that_moved_reads_as_one(runs):
    moved, stayed, _ = runs
    steps = [
        [json.loads(line)["step"] for line in (folder / "metrics.jsonl").open()]
        for folder in (moved, stayed)
    ]
    assert set(steps[1]) <= set(steps[0]) and steps[0] == sorted(steps[0])


def test_two_hosts_score_and_show_what_one_does(runs):
    moved, _, _ = runs
    one = scores(moved)
    hosts.run(*TRAIN, *flags(moved), "--mode=eval", count=2, devices=4)
    two = scores(moved)
    assert two["confusion"] == one["confusion"]
    for kind in ("worst", "best"):
        found = [[(p["name"], p["score"]) for p in r[kind]] for r in (one, two)]
        assert found[0] == found[1] and found[0]


@pytest.mark.parametrize("dead", [0, 1])
def test_a_host_that_dies_ends_the_run_and_is_named(tmp_path, dead):
    with hosts.processes(*TRAIN, *flags(tmp_path)) as started:
        wait_for_step(tmp_path, 3, started)
        started[dead].kill()
        began = time.monotonic()
        started[1 - dead].wait(timeout=60)
        seconds = time.monotonic() - began
        codes, outputs = hosts.finish(started)
    named = f"process {dead} of 2 on {socket.gethostname()} ended without a word"
    assert named in outputs[1 - dead] and seconds < 30
    assert codes[1 - dead] not in (0, None)
    if dead == 1:
        assert named in (tmp_path / "train.log").read_text()


def test_a_host_that_is_missing_at_the_start_is_named(tmp_path):
    began = time.monotonic()
    arguments = (*TRAIN, *flags(tmp_path), "--startup_timeout=3")
    with hosts.processes(*arguments, missing=[1]) as started:
        codes, outputs = hosts.finish(started)
    assert codes == (1,) and "process 1 of 2 did not come within 3 s" in outputs[0]
    assert "Traceback" not in outputs[0] and time.monotonic() - began < 60


def test_a_wrong_config_ends_all_hosts_with_the_reason(tmp_path):
    wrong = "--config.method.name=supervised.Supervized"
    with hosts.processes(*TRAIN, *flags(tmp_path), wrong) as started:
        codes, outputs = hosts.finish(started)
    assert codes == (1, 1) and "'Supervised'" in outputs[0]
