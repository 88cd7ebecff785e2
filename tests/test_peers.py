"""The line between processes: real ones, that only talk."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from jaxseg import peers
from tests import hosts

TALK = """
import json, sys, time
from jaxseg import hooks, peers, roll_call
who, port, options = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
if who == options.get("late"):
    time.sleep(1.5 * options["peer_timeout"])
line = roll_call.meet(("localhost", port), process=who, startup_timeout=60,
                      num_processes=options["count"],
                      peer_timeout=options["peer_timeout"])
peers.jax.distributed.shutdown = lambda: None  # nothing was started
with line, hooks.StopSignal(line) as stop:
    print("met", flush=True)
    time.sleep(0.5 * who)
    print("comes at", time.monotonic(), flush=True)
    line.wait_for_all()
    print("all here at", time.monotonic(), flush=True)
    for step in range(1, options.get("steps", 1000)):
        time.sleep(0.02 * (1 + 2 * who))
        if stop():
            print("stopped at", step, "by", stop.name, flush=True)
            break
        if who == 1 and step == 5 and options.get("raise"):
            raise ValueError("a bad picture")
"""


@contextlib.contextmanager
def talking(count=2, peer_timeout=30, **options):
    """Some processes on one line, that have met."""
    port = hosts.free_port()
    options = json.dumps(dict(options, count=count, peer_timeout=peer_timeout))
    with contextlib.ExitStack() as stack:
        started = []
        for who in range(count):
            one = hosts.processes("-c", TALK, who, port, options, count=1)
            started += stack.enter_context(one)
        for process in started:
            while next_line(process) != "met":
                assert process.poll() is None
        yield started


def next_line(process):
    """Reads a line and not a byte more, which `communicate` would not find again."""
    line = b""
    while piece := os.read(process.stdout.fileno(), 1):
        if piece == b"\n":
            break
        line += piece
    return line.decode().strip()


@pytest.mark.parametrize("dead", [0, 1])
def test_the_death_of_a_process_ends_the_other_and_is_named(dead):
    with talking() as started:
        started[dead].kill()
        started[1 - dead].wait(timeout=10)
        codes, outputs = hosts.finish(started)
    assert codes[1 - dead] == peers.FAILED
    assert f"process {dead} of 2 on {socket.gethostname()}" in outputs[1 - dead]


def test_a_process_that_stands_still_is_named_after_the_timeout():
    with talking(peer_timeout=2) as started:
        started[1].send_signal(signal.SIGSTOP)
        started[0].wait(timeout=30)
        output = started[0].communicate()[0]
    assert "process 1 of 2" in output and "no sign of life" in output


@pytest.mark.slow
def test_a_host_that_starts_late_costs_nobody_the_run():
    with talking(count=3, peer_timeout=6, late=2, steps=60) as started:
        codes, outputs = hosts.finish(started, timeout=60)
    assert codes == (0, 0, 0), "\n".join(outputs)


def test_the_time_at_the_roll_call_does_not_count_as_silence(monkeypatch):
    monkeypatch.setattr(peers.Peers, "_spawn", lambda *arguments: None)
    one, other = socket.socketpair()
    with one, other:
        link = peers.Link(1, "beta", one, heard=time.monotonic() - 1_000)
        peers.Peers(0, ["alpha", "beta"], {1: link}, timeout=60)
        assert time.monotonic() - link.heard < 60


@pytest.fixture(scope="module")
def failed():
    """Exit codes and outputs of two processes of which one raised."""
    with talking(**{"raise": True}) as started:
        return tuple(hosts.finish(started, timeout=60))


def test_who_waits_for_all_goes_on_when_the_last_has_come(failed):
    comes, goes = (
        [float(re.search(rf"{what} at (\S+)", output)[1]) for output in failed[1]]
        for what in ("comes", "all here")
    )
    assert min(goes) >= max(comes)


def test_an_error_in_one_process_ends_the_other_with_its_reason(failed):
    codes, outputs = failed
    assert codes == (peers.FAILED, peers.FAILED)
    assert "failed: ValueError: a bad picture" in outputs[0]
    assert "Traceback" in outputs[1]


@pytest.mark.parametrize("signals", [{1: 1}, {0: 1, 1: 1}])
def test_a_signal_to_any_stops_all_at_the_same_step(signals):
    with talking() as started:
        for who in signals:
            started[who].send_signal(signal.SIGTERM)
        codes, outputs = hosts.finish(started, timeout=30)
    lines = [
        [line for line in output.splitlines() if line.startswith("stopped")]
        for output in outputs
    ]
    assert codes == (0, 0)
    assert lines[0] == lines[1] and lines[0][0].endswith("by SIGTERM")


def test_a_process_by_itself_stops_when_it_wants_to():
    line = peers.Alone()
    assert not line.agree("")
    assert line.agree("SIGINT") and line.stop_name == "SIGINT"


def test_a_run_that_stands_still_says_who_is_behind(monkeypatch, caplog):
    monkeypatch.setattr(peers, "STILL_SECONDS", 0.0)
    progress = peers.Progress(["alpha", "beta", "gamma"])
    for process, points in enumerate((7, 6, 7)):
        progress.note(process, points)
    progress.warn()
    assert "Farthest behind: process 1 on beta." in caplog.text


def test_a_run_that_moves_is_not_warned_of(caplog):
    progress = peers.Progress(["alpha", "beta"])
    progress.note(0, 1)
    progress.warn()
    assert not caplog.text


LEAVE = """
import sys
from jaxseg import peers
class Broken:
    def write(self, text): raise BrokenPipeError
    flush = write
class Stuck:
    def write(self, text): import time; time.sleep(1000)
    def flush(self): self.write("")
sys.stdout, sys.stderr = Stuck(), Broken()
line = peers.Peers(0, ["alpha"], {}, timeout=60)
with line:
    raise ValueError("whose message cannot be printed")
"""


def test_a_console_that_is_gone_does_not_keep_a_process():
    assert subprocess.run([sys.executable, "-c", LEAVE], timeout=60).returncode == 1
