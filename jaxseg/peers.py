"""The line between the processes of one run: who is there, who died, when to stop.

A process that waits for another inside a collective can wait for ever, or is ended by
jax with a message that names nobody. So every process keeps a connection to process 0,
beside jax's own: its end is noticed at once, silence after a while, and then all end
with the name and the host of the one that is missing. `roll_call.meet` makes the line.
"""

import collections
import contextlib
import dataclasses
import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import jax
from absl import logging

STILL_SECONDS = 600.0  # without a step, as of a compilation or a hang
SETTLE_SECONDS = 2.0
LAST_SECONDS = 2.0  # that a process which ends gives to its last words
FAILED = 1  # exit code of a run that lost a process


class PeerError(RuntimeError):
    """A process of the run did not come; the message names it."""


@dataclasses.dataclass(eq=False)
class Link:
    """A connection to another process: one JSON object a line.

    Attributes:
        process: the index of the other.
        host: its name.
        connection: to it.
        heard: when it last said something.
        left: whether it said goodbye, so that its end is none to speak of.
    """

    process: int
    host: str
    connection: socket.socket
    heard: float = dataclasses.field(default_factory=time.monotonic)
    left: bool = False

    def __post_init__(self):
        self._sending = threading.Lock()
        self._file = self.connection.makefile("rb")

    def send(self, message: Mapping[str, Any]) -> None:
        """Says something; the reader notices if nobody is there any more."""
        try:
            with self._sending:
                self.connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            logging.debug("process %d cannot be reached", self.process)

    def receive(self) -> dict[str, Any] | None:
        """What the other says next, or None if the connection ended."""
        try:
            line = self._file.readline()
        except OSError:
            return None
        self.heard = time.monotonic()
        return json.loads(line) if line.endswith(b"\n") else None

    def has_ended(self) -> bool:
        """Whether the other has gone, with nothing left to read; asks, never waits."""
        try:
            self.connection.settimeout(0)
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.connection.settimeout(None)


class Progress:
    """Where all processes are, so that a run that stands still says who is behind.

    Args:
        hosts: the names of all processes' hosts.
    """

    def __init__(self, hosts: Sequence[str]):
        self._hosts = hosts
        self._points: dict[int, int] = {}
        self._moved = time.monotonic()

    def note(self, process: int, points: int) -> None:
        """Notes how many points, such as steps, a process has passed."""
        if self._points.get(process) != points:
            self._points[process] = points
            self._moved = time.monotonic()

    def warn(self) -> None:
        """Warns if nobody has passed a point for long."""
        still = time.monotonic() - self._moved
        if still < STILL_SECONDS or not self._points:
            return
        self._moved = time.monotonic()
        lowest = min(self._points.values())
        behind = [i for i, points in sorted(self._points.items()) if points == lowest]
        logging.warning(
            "no process has finished a step or a batch for %.0f s. Farthest behind: "
            "%s. `kill -USR1 PID` there prints what it does",
            still,
            ", ".join(f"process {i} on {self._hosts[i]}" for i in behind[:8])
            if len(behind) < len(self._points)
            else "none, all are at the same point",
        )


class Alone:
    """A process by itself; what `Peers` is to several."""

    place = (0, 1)
    hosts: Sequence[str] = ()
    stop_name = ""

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Does nothing."""

    def agree(self, wanted: str) -> bool:
        """Whether to stop now; see `Peers.agree`."""
        self.stop_name = wanted
        return bool(wanted)

    def wait_for_all(self) -> None:
        """Waits until all processes are here; see `Peers.wait_for_all`."""


class Peers(Alone):
    """The processes of a run; a context manager around all that they do together.

    An error that leaves it ends the others too. Its normal end is that of all.

    Args:
        process: the index of this one.
        hosts: the names of all processes' hosts.
        links: to process 0, or from it to all others.
        timeout: seconds of silence after which a process counts as dead.
    """

    def __init__(
        self,
        process: int,
        hosts: Sequence[str],
        links: Mapping[int, Link],
        *,
        timeout: float,
    ):
        self.place = (process, len(hosts))
        self.hosts = hosts
        self.stop_name = ""
        self._links = links
        self._timeout = timeout
        self._closed = threading.Event()
        self._points = 0  # where this process is, in calls of `agree`
        self._said: dict[int, int] = {}  # where all are; at process 0
        self._halting = False  # at process 0: whether it has asked them
        self._asked = False
        self._stop_at: int | None = None
        self._changed = threading.Condition()
        self._waits = 0  # calls of `wait_for_all`
        self._gathered = 0  # those that all have reached
        self._arrived: collections.Counter[int] = collections.Counter()
        self._progress = Progress(hosts)
        # The hello of the first to come is as old as the last one is late.
        for link in links.values():
            link.heard = time.monotonic()
        for link in links.values():
            self._spawn(self._listen, link)
        self._spawn(self._keep_alive)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is not None:
            self.fail(error)
        jax.distributed.shutdown()  # all have come to the end
        self._closed.set()
        for link in self._links.values():
            link.send({"bye": True})

    def agree(self, wanted: str) -> bool:
        """Whether all processes stop here, the same for all of them.

        To be called at the same points by all: after every step, before every batch of
        an evaluation. When one wants to stop, all tell how far they are and wait at
        their next point for the answer: the point after the farthest. It costs nothing
        as long as nobody wants to.

        Args:
            wanted: the name of the signal that this process got, or "".
        """
        with self._changed:
            if self._asked:
                self._changed.wait_for(lambda: self._stop_at is not None)
            self._points += 1
            if self._stop_at is not None:
                return self._points >= self._stop_at
        if wanted:
            self._tell_first({"stop": wanted})
        return False

    def wait_for_all(self) -> None:
        """Waits until all processes are here, however long; to be called by all.

        As before the first step, which some compile faster than others: a collective
        of Gloo, which CPUs use, would give up after half a minute.
        """
        self._tell_first({"here": True})
        with self._changed:
            self._waits += 1
            self._changed.wait_for(lambda: self._gathered >= self._waits)

    def _tell_first(self, message: Mapping[str, Any]) -> None:
        """Tells process 0, which may be this one."""
        if self.place[0] == 0:
            self._hear(0, message)
        else:
            self._links[0].send(message)

    def _tell_all(self, message: Mapping[str, Any]) -> None:
        """Tells all others and oneself; of process 0."""
        for link in self._links.values():
            link.send(message)
        self._hear(0, message)

    def _listen(self, link: Link) -> None:
        while (message := link.receive()) is not None:
            if "bye" in message:
                link.left = True
            elif "end" in message:
                self._end(message["end"])
            else:
                self._hear(link.process, message)
        if not (link.left or self._closed.is_set()):
            self._lose(link, "ended without a word")

    def _hear(self, process: int, message: Mapping[str, Any]) -> None:
        if "stop" in message:
            with self._changed:
                first, self._halting = not self._halting, True
            if first:  # of several signals, as a launcher sends one to every process
                self._tell_all({"halt": message["stop"]})
        elif "halt" in message:
            with self._changed:
                self._asked, self.stop_name = True, message["halt"]
                reply = {"at": self._points}
            self._tell_first(reply)
        elif "at" in message:
            with self._changed:
                self._said[process] = message["at"]
                whole = len(self._said) == self.place[1]
            if whole:
                self._tell_all({"stop_at": max(self._said.values()) + 1})
        elif "stop_at" in message:
            with self._changed:
                self._stop_at = message["stop_at"]
                self._changed.notify_all()
        elif "here" in message:
            with self._changed:
                self._arrived[process] += 1
                each = [self._arrived[i] for i in range(self.place[1])]
            self._tell_all({"all_here": min(each)})
        elif "all_here" in message:
            with self._changed:
                self._gathered = max(self._gathered, message["all_here"])
                self._changed.notify_all()
        elif "alive" in message:
            self._progress.note(process, message["alive"])
        elif "failed" in message:
            self._lose(self._links[process], f"failed: {message['failed']}")

    def _keep_alive(self) -> None:
        """Gives signs of life, the first at once, and misses those of others."""
        for link in self._links.values():
            link.send({"alive": self._points})
        while not self._closed.wait(min(5.0, self._timeout / 4)):
            if self.place[0] == 0:
                self._progress.note(0, self._points)
                self._progress.warn()
            for link in self._links.values():
                link.send({"alive": self._points})
                silent = time.monotonic() - link.heard
                if silent > self._timeout and not link.left:
                    self._lose(link, f"has given no sign of life for {silent:.0f} s")

    def _lose(self, link: Link, why: str) -> None:
        self._end(
            f"process {link.process} of {self.place[1]} on {link.host} {why}; the run "
            "ends here on all hosts, and the same command resumes from the newest "
            "checkpoint"
        )

    def fail(self, error: BaseException) -> NoReturn:
        """Tells the others of an error, and ends: nobody waits for this process."""
        code = FAILED
        try:
            if isinstance(error, SystemExit):
                code = error.code if isinstance(error.code, int) else FAILED
            else:
                attempt(traceback.print_exception, error)
            # The death of another process comes up as an error of a collective here.
            # The line has noticed it as well, and ends this process with its name.
            time.sleep(SETTLE_SECONDS)
            for link in self._links.values():
                if self.place[0] == 0:
                    reason = f"process 0 of {self.place[1]} on {self.hosts[0]} failed: "
                    link.send({"end": reason + describe(error)})
                else:
                    link.send({"failed": describe(error)})
        finally:
            leave(code)

    def _end(self, message: str) -> None:
        """Says why, here and at the others, and ends this process from any thread."""
        if self._closed.is_set():
            return
        self._closed.set()
        try:
            if self.place[0] == 0:
                for link in self._links.values():
                    link.send({"end": message})
            # The thread that was interrupted may hold the lock of the log.
            if not attempt(logging.error, "%s", message):
                attempt(os.write, 2, f"{message}\n".encode())
        finally:
            leave(FAILED)

    def _spawn(self, function: Any, *arguments: Any) -> None:
        threading.Thread(target=function, args=arguments, daemon=True).start()


def describe(error: BaseException) -> str:
    """An error in one line, for the other processes."""
    reason = error.__context__ if isinstance(error, SystemExit) else error
    if reason is None:
        return f"exit code {getattr(error, 'code', FAILED)}"
    return f"{type(reason).__name__}: {reason}".split("\n")[0]


def attempt(function: Callable[..., Any], *arguments: Any) -> bool:
    """Calls what may fail or never return, as writing to a console that is gone.

    Returns:
        Whether it came to its end in time, be it by an exception.
    """

    def call() -> None:
        with contextlib.suppress(Exception):
            function(*arguments)

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    caller.join(timeout=LAST_SECONDS)
    return not caller.is_alive()


def leave(code: int) -> NoReturn:
    """Ends the process without waiting for the others, as jax would at exit."""
    try:
        for stream in (sys.stdout, sys.stderr):
            attempt(stream.flush)
    finally:
        os._exit(code)
