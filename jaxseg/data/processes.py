"""Reading in processes: for augmentation that holds Python's lock, as Pillow's does.

Every reading thread of this process has a pipe to a thread of a worker; it sends a
position, waits, and gets the slot. Read `Workers.read` first, then `serve`.
"""

import multiprocessing
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

Read = Callable[[Any], Any]


class WorkerDied(RuntimeError):
    """A worker process ended without an answer."""


class Line(NamedTuple):
    """A pipe to one thread of a worker."""

    pipe: Connection
    worker: BaseProcess


class Workers:
    """Processes that call one function for the threads of this process.

    They end with `close`, and when this process ends in any way, since the pipes are
    then cut. Interrupts (Ctrl-C) are left to this process.

    Args:
        read: called with a position; is sent to the workers, so it must be picklable.
        name: says which picture a position means, for messages.
        num_workers: processes.
        num_threads: of each process.
    """

    def __init__(
        self,
        read: Read,
        *,
        name: Callable[[Any], str],
        num_workers: int,
        num_threads: int,
    ):
        self._name = name
        self._lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._all: list[Line] = []
        pickled = _pickled(read)
        # Not forked: JAX's threads hold locks that nobody would release in the copy.
        context = multiprocessing.get_context("spawn")
        for _ in range(num_workers):
            ends = [context.Pipe() for _ in range(num_threads)]
            theirs = [end for _, end in ends]
            worker = context.Process(
                target=serve, args=(pickled, theirs), name="jaxseg-worker", daemon=True
            )
            worker.start()
            for ours, end in ends:
                end.close()  # so that a dead worker is an end of the pipe
                self._all.append(Line(ours, worker))
        for line in self._all:
            self._lines.put(line)

    def read(self, position: Any) -> Any:
        """What `read` returns or raises for a position, in one of the workers.

        Raises:
            WorkerDied: if the worker ends instead of answering.
        """
        line = self._lines.get()
        try:
            line.pipe.send(position)
            result, error = line.pipe.recv()
        except (EOFError, OSError) as cut:
            raise self._died(line.worker, position) from cut
        finally:
            self._lines.put(line)
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Ends the workers; nobody may be reading."""
        for line in self._all:
            line.pipe.close()
        for worker in {line.worker for line in self._all}:
            worker.join(timeout=5)
            if worker.is_alive():
                worker.kill()
                worker.join()

    def _died(self, worker: BaseProcess, position: Any) -> WorkerDied:
        worker.join(timeout=5)
        code = worker.exitcode
        what = "killed" if code is not None and code < 0 else "ended"
        return WorkerDied(
            f"worker process {worker.pid} was {what} (exit code {code}) when it had to "
            f"read {self._name(position)}. Code -9 is often want of memory: lower "
            "config.data.num_workers. At the start of a script of your own, put what "
            'runs below `if __name__ == "__main__":`. config.data.num_workers=0 reads '
            "in this process and shows errors as they are"
        )


def serve(pickled: bytes, pipes: Sequence[Connection]) -> None:
    """The life of a worker: answers every pipe until it is cut."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        read = pickle.loads(pickled)
    except Exception as error:
        read = _raiser(_portable(error))
    threads = [threading.Thread(target=_answer, args=(read, pipe)) for pipe in pipes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _answer(read: Read, pipe: Connection) -> None:
    while True:
        try:
            position = pipe.recv()
        except (EOFError, OSError):
            return
        answer: tuple[Any, Exception | None]
        try:
            answer = (read(position), None)
        except Exception as error:
            answer = (None, _portable(error))
        try:
            pipe.send(answer)
        except OSError:
            return


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, in a form that can be sent."""
    trace = "".join(traceback.format_exception(error))
    error.add_note(f"in a worker process:\n{trace}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _raiser(error: Exception) -> Read:
    def fail(position: Any) -> Any:
        raise error

    return fail


def _pickled(read: Read) -> bytes:
    try:
        return pickle.dumps(read)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            "config.data.num_workers sends the data set and its augmentation to other "
            f"processes, but they cannot be pickled: {error}. Define classes and "
            "functions at the top of a module, or use num_workers=0"
        ) from error
