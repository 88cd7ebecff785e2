"""How the processes of a run find each other: process 0 listens, the others call it.

Read `meet`. Who does not come in time is named, to all that came.
"""

import socket
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple, NoReturn

from absl import logging

from jaxseg.peers import Link, PeerError, Peers

REMIND_SECONDS = 30.0  # between lines that say who is waited for
RETRY_SECONDS = 0.2
GREETING_SECONDS = 10.0  # that a caller has to say who it is


def meet(
    address: tuple[str, int],
    *,
    process: int,
    num_processes: int,
    hosts: Sequence[str] = (),
    startup_timeout: float,
    peer_timeout: float,
) -> Peers:
    """Waits until all processes of a run are there.

    Args:
        address: host and port where process 0 listens.
        process: the index of this one.
        num_processes: of the run.
        hosts: names of the hosts, for those that do not come; () if unknown.
        startup_timeout: seconds to wait.
        peer_timeout: of `Peers`.

    Raises:
        PeerError: naming those that did not come.
    """
    if process == 0:
        links = RollCall(address[1], num_processes, hosts).take(startup_timeout)
        names = [socket.gethostname()] + [links[i].host for i in sorted(links)]
        for link in links.values():
            link.send({"hosts": names})
    else:
        first, names = report(address, process, num_processes, startup_timeout)
        links = {0: first}
    return Peers(process, names, links, timeout=peer_timeout)


class Caller(NamedTuple):
    """Who called process 0, and how many processes it was told of."""

    link: Link
    num_processes: int

    @property
    def process(self) -> int:
        return self.link.process

    @property
    def host(self) -> str:
        return self.link.host


class RollCall:
    """What process 0 does: it waits for the call of every other.

    Args:
        port: where it listens.
        num_processes: of the run.
        hosts: names of the hosts; () if unknown.
    """

    def __init__(self, port: int, num_processes: int, hosts: Sequence[str] = ()):
        self._port = port
        self._num_processes = num_processes
        self._hosts = hosts
        self._links: dict[int, Link] = {}

    def take(self, timeout: float) -> dict[int, Link]:
        """The links to all others, by their index.

        Raises:
            PeerError: if some do not come within so many seconds, or come twice.
        """
        deadline = time.monotonic() + timeout
        with listen(self._port) as server:
            while self._missing:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._refuse(self._incomplete(timeout))
                server.settimeout(min(left, REMIND_SECONDS))
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    logging.info("waiting for %s", self._listed(self._missing))
                    continue
                self._enter(greet(connection))
        return self._links

    @property
    def _missing(self) -> list[int]:
        return [i for i in range(1, self._num_processes) if i not in self._links]

    def _enter(self, caller: Caller | None) -> None:
        if caller is None:
            return
        before = self._links.get(caller.process)
        if caller.num_processes != self._num_processes:
            message = (
                f"process {caller.process} on {caller.host} is of a run of "
                f"{caller.num_processes} processes, process 0 of one of "
                f"{self._num_processes}: give all the same number"
            )
        elif caller.process in self._missing or (before and before.has_ended()):
            # One that has ended since it called was started again.
            self._links[caller.process] = caller.link
            return
        else:
            message = (
                f"process {caller.process} on {caller.host} is one too many: there are "
                f"{self._num_processes}, each with an index of its own"
            )
        caller.link.send({"end": message})
        self._refuse(message)

    def _incomplete(self, timeout: float) -> str:
        came = (
            f"{self._listed(self._links)} came" if self._links else "nobody else came"
        )
        return (
            f"{self._listed(self._missing)} of {self._num_processes} did not come "
            f"within {timeout:g} s (--startup_timeout); {came}. Each must reach port "
            f"{self._port} of {socket.gethostname()}"
        )

    def _refuse(self, message: str) -> NoReturn:
        for link in self._links.values():
            link.send({"end": message})
        raise PeerError(message)

    def _listed(self, indices: Iterable[int]) -> str:
        shown = sorted(indices)
        names = [
            f"process {i}" + (f" ({self._hosts[i]})" if self._hosts else "")
            for i in shown[:8]
        ]
        more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
        return ", ".join(names) + more


def listen(port: int) -> socket.socket:
    """Opens a port on all addresses of this host.

    Raises:
        PeerError: if another program has it.
    """
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True
            )
        return socket.create_server(("", port))
    except OSError as error:
        raise PeerError(
            f"process 0 cannot listen at port {port} of {socket.gethostname()}: "
            f"{error}; give the coordinator another port"
        ) from error


def greet(connection: socket.socket) -> Caller | None:
    """Hears who calls; None if it is nobody of ours."""
    connection.settimeout(GREETING_SECONDS)
    link = Link(-1, "", connection)
    try:
        hello = link.receive() or {}
        link.process, link.host = int(hello["process"]), str(hello["host"])
        num_processes = int(hello["num_processes"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        connection.close()
        return None
    connection.settimeout(None)
    return Caller(link, num_processes)


def report(
    address: tuple[str, int], process: int, num_processes: int, timeout: float
) -> tuple[Link, list[str]]:
    """What the others do: they call process 0 and wait until it has heard from all.

    Returns:
        The link to process 0, and the names of all hosts.

    Raises:
        PeerError: if process 0 does not answer, or says who did not come.
    """
    host, port = address
    link = Link(0, host, call(address, timeout))
    # Process 0 may have begun to wait later than this one, and ends by itself.
    link.connection.settimeout(timeout + REMIND_SECONDS)
    hello = dict(process=process, num_processes=num_processes)
    link.send({**hello, "host": socket.gethostname()})
    answer = link.receive() or {}
    if "hosts" not in answer:
        raise PeerError(
            answer.get("end", f"process 0 at {host}:{port} ended while others started")
        )
    link.connection.settimeout(None)
    link.host = answer["hosts"][0]
    return link, answer["hosts"]


def call(address: tuple[str, int], timeout: float) -> socket.socket:
    """Connects to process 0, which may start later than this one.

    Raises:
        PeerError: if it does not within so many seconds.
    """
    began = reminded = time.monotonic()
    while True:
        try:
            return socket.create_connection(address, timeout=5)
        except OSError as error:
            problem = error
        now = time.monotonic()
        if now - began > timeout:
            raise PeerError(
                f"process 0 did not answer at {address[0]}:{address[1]} within "
                f"{timeout:g} s (--startup_timeout): {problem}"
            )
        if now - reminded > REMIND_SECONDS:
            logging.warning("waiting for process 0 at %s:%d: %s", *address, problem)
            reminded = now
        time.sleep(RETRY_SECONDS)
