"""Workers answer, fail by name, die loudly and leave nobody behind."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from jaxseg.data.folder import Folder
from jaxseg.data.pipeline import train_batches
from jaxseg.data.processes import WorkerDied, Workers
from jaxseg.data.source import PictureError
from jaxseg.data.transforms import TrainTransform
from tests.data.test_pipeline import Numbers, assert_same, mark, take, unchanged


def act(position):
    """What the position says: a number is squared, a word is done."""
    if position == "pid":
        return os.getpid()
    if position == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if position == "leave":
        os._exit(3)
    if position == "strange":
        raise Strange(1, 2)
    return position**2


class Strange(Exception):
    """Cannot be unpickled: its arguments are not those that it was made with."""

    def __init__(self, a, b):
        super().__init__("strange")


class Unreadable:
    """Fails when a worker unpickles it."""

    def __call__(self, position):
        return position

    def __reduce__(self):
        return (int, ("no number",))


def open_workers(read=act, num_workers=1, num_threads=1):
    return Workers(
        read,
        name=lambda position: f"picture {position}",
        num_workers=num_workers,
        num_threads=num_threads,
    )


@pytest.fixture(scope="module")
def workers():
    opened = open_workers(num_threads=2)
    yield opened
    opened.close()


def is_running(pid):
    status = pathlib.Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def ends_soon(pid):
    for _ in range(100):
        if not is_running(pid):
            return True
        time.sleep(0.1)
    return False


def test_a_worker_answers_from_another_process(workers):
    assert workers.read(7) == 49
    assert workers.read("pid") != os.getpid()


def test_errors_travel_with_their_type_message_and_traceback(workers):
    with pytest.raises(TypeError, match="unsupported operand") as caught:
        workers.read(None)
    assert "in act" in caught.value.__notes__[0]
    assert workers.read(3) == 9  # and the worker goes on


def test_an_error_that_cannot_be_sent_arrives_in_words(workers):
    with pytest.raises(RuntimeError, match="Strange: strange"):
        workers.read("strange")


def test_an_error_of_unpickling_is_raised_here():
    workers = open_workers(Unreadable())
    with pytest.raises(ValueError, match="no number"):
        workers.read(1)
    workers.close()


def test_what_cannot_be_pickled_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"pickled.*num_workers=0"):
        open_workers(lambda position: position)


@pytest.mark.parametrize(("how", "code"), [("die", -9), ("leave", 3)])
def test_a_dead_worker_raises_instead_of_hanging(how, code):
    workers = open_workers()
    with pytest.raises(WorkerDied, match=rf"exit code {code}\).*picture {how}"):
        workers.read(how)
    workers.close()


def test_closing_ends_the_processes():
    workers = open_workers(num_workers=2)
    pids = {workers.read("pid") for _ in range(2)}
    assert len(pids) == 2
    begin = time.perf_counter()
    workers.close()
    assert time.perf_counter() - begin < 4
    assert not any(is_running(pid) for pid in pids)


PARENT = """
import os, sys, time
from tests.data.test_processes import open_workers

if __name__ == "__main__":
    print(open_workers().read("pid"), flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    parent = subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE
    )
    pid = int(parent.stdout.readline())
    assert is_running(pid)
    parent.kill()
    parent.wait()
    assert ends_soon(pid)


def test_processes_do_not_change_the_batches(tree):
    source = Folder(root=str(tree)).source("train")
    given = dict(transform=TrainTransform(crop=(20, 20)), seed=5, batch_size=4)
    given["start_step"] = 3
    processes = train_batches(source, num_workers=2, num_threads=1, **given)
    assert_same(take(processes, 5), take(train_batches(source, **given), 5))


def test_two_hosts_with_processes_read_the_halves_of_one_batch():
    given = dict(transform=mark, seed=1, batch_size=4, num_threads=1)
    one = take(train_batches(Numbers(10), **given), 2)
    host = train_batches(
        Numbers(10), num_workers=1, process_index=1, process_count=2, **given
    )
    halves = [{key: value[2:] for key, value in batch.items()} for batch in one]
    assert_same(take(host, 2), halves)


def test_an_unreadable_picture_surfaces_from_a_process_with_its_name():
    given = dict(transform=unchanged, seed=1, batch_size=4, num_workers=1)
    with pytest.raises(PictureError, match="cannot read picture_6"):
        take(train_batches(Numbers(10, broken=(6,)), **given), 3)


def test_skipped_pictures_are_counted_across_processes():
    given = dict(transform=unchanged, seed=1, batch_size=5, num_workers=1)
    source = Numbers(10, broken=(6,))
    with train_batches(source, on_error="skip", **given) as batches:
        for _ in range(4):
            next(batches)
        assert batches.skipped == 2 and batches.skipped_files == {"picture_6"}


def test_a_killed_worker_ends_the_batches_with_the_name_of_a_picture():
    batches = train_batches(
        Numbers(10), transform=_suicide, seed=1, batch_size=2, num_workers=1
    )
    with pytest.raises(WorkerDied, match="picture_"):
        next(batches)
    with pytest.raises(StopIteration):
        next(batches)


def _suicide(example, rng):
    if int(example["label"][0, 0]) >= 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return example
