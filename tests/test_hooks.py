import itertools
import os
import signal
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import hooks


class Recorder:
    """Stands in for the report and keeps what it is told."""

    def __init__(self):
        self.lines = []

    def training(self, step, means, timing, extra):
        self.lines.append((step, means, timing, extra))


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves by one second each time it is asked."""
    ticks = itertools.count()
    monkeypatch.setattr(hooks.time, "perf_counter", lambda: float(next(ticks)))


def make_log(report, start_step=0):
    return hooks.TrainingLog(
        report,
        batch_size=4,
        total_steps=10,
        schedule=lambda step: 0.1 * (step + 1),
        start_step=start_step,
    )


def test_lines_hold_means_since_the_last_one():
    report = Recorder()
    log = make_log(report)
    for step, loss in ((1, 1.0), (2, 3.0), (3, 7.0)):
        log.record(step, {"loss": jnp.float32(loss)})
        if step > 1:
            log.write(step)
    assert [line[1]["loss"] for line in report.lines] == [2.0, 7.0]
    np.testing.assert_allclose(report.lines[1][1]["learning_rate"], 0.3)


def test_waiting_is_told_apart_and_pauses_do_not_count(clock):
    report = Recorder()
    log = make_log(report)  # the clock says 0
    with log.waiting():  # 1, 2
        pass
    with log.paused():  # 3, 4
        pass
    log.record(1, {"loss": jnp.float32(0)})
    log.write(1)  # 5
    timing = report.lines[0][2]
    assert timing["seconds_per_step"] == 4.0
    assert timing["data_seconds_per_step"] == 1.0
    assert timing["images_per_second"] == 1.0
    assert timing["eta_seconds"] == 36.0


def test_a_warning_about_the_metrics_is_given_once(caplog):
    log = hooks.TrainingLog(
        Recorder(),
        batch_size=4,
        total_steps=10,
        schedule=lambda step: 0.1,
        start_step=0,
        warnings=lambda step, total, means: ("too low",) if means["loss"] < 2 else (),
    )
    for step, loss in ((1, 3.0), (2, 1.0), (3, 1.0)):
        log.record(step, {"loss": jnp.float32(loss)})
        log.write(step)
    found = [r.getMessage() for r in caplog.records if "too low" in r.getMessage()]
    assert found == ["step 2: too low"]


def test_the_first_metric_that_is_not_finite_is_named():
    log = make_log(Recorder())
    log.record(1, {"loss": jnp.float32(1)})
    log.record(2, {"loss": jnp.float32(1), "grad_norm": jnp.float32(np.inf)})
    log.record(3, {"loss": jnp.float32(np.nan), "grad_norm": jnp.float32(np.nan)})
    with pytest.raises(hooks.TrainingDiverged, match="grad_norm is inf at step 2"):
        log.check()


def test_what_is_due():
    config = {"total_steps": 10, "every": {"log": 4, "evaluate": 0}}
    steps = {
        what: [step for step in range(1, 11) if hooks.due(config, what, step)]
        for what in ("log", "evaluate", "checkpoint")
    }
    assert steps == {"log": [4, 8, 10], "evaluate": [10], "checkpoint": [10]}


def test_the_first_signal_is_noted():
    with hooks.StopSignal() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop() and stop.name == "SIGINT"


def test_the_second_signal_ends_the_process_at_once():
    code = (
        "import signal\n"
        "from jaxseg import hooks\n"
        "with hooks.StopSignal():\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "    print('once', flush=True)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    print('never')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 128 + signal.SIGINT
    assert done.stdout == "once\n"


class Unread:
    """A metric that can be waited for, but fails when its value is read."""

    def block_until_ready(self):
        return self

    def __array__(self, *args, **kwargs):
        raise AssertionError("a device value was read between log lines")

    __float__ = __array__


def test_recording_a_step_reads_no_device_value():
    log = make_log(Recorder())
    for step in range(1, 20):
        log.record(step, {"loss": Unread()})
    with pytest.raises(AssertionError, match="read between"):
        log.check()
