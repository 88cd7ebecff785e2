import contextlib
import json
import socket
import threading
import time

import pytest

from jaxseg import roll_call
from jaxseg.peers import PeerError
from tests import hosts


def meet(process, port, **options):
    options = dict(num_processes=2, startup_timeout=1, peer_timeout=5) | options
    return roll_call.meet(("localhost", port), process=process, **options)


def calling(port):
    """A connection to process 0, once it listens."""
    for _ in range(500):
        with contextlib.suppress(OSError):
            return socket.create_connection(("localhost", port))
        time.sleep(0.02)
    raise AssertionError(f"nobody listens at {port}")


def test_who_does_not_come_is_named():
    with pytest.raises(PeerError, match=r"process 1 \(beta\) of 2 did not come"):
        meet(0, hosts.free_port(), hosts=("alpha", "beta"))


def test_those_who_came_hear_who_did_not():
    port, heard = hosts.free_port(), []

    def call():
        try:
            meet(1, port, num_processes=3)
        except PeerError as error:
            heard.append(str(error))

    caller = threading.Thread(target=call)
    caller.start()
    with pytest.raises(PeerError, match="process 2 of 3 did not come"):
        meet(0, port, num_processes=3, startup_timeout=3)
    caller.join(timeout=10)
    assert "process 2 of 3 did not come" in heard[0] and "process 1 came" in heard[0]


def test_a_first_process_that_does_not_answer_is_named():
    with pytest.raises(PeerError, match="process 0 did not answer at localhost"):
        meet(1, hosts.free_port())


def test_a_port_that_is_taken_is_named():
    with (
        socket.create_server(("", 0)) as taken,
        pytest.raises(PeerError, match="cannot listen at port"),
    ):
        meet(0, taken.getsockname()[1])


def test_strangers_are_not_counted():
    port, knocked = hosts.free_port(), []
    texts = (
        b"GET / HTTP/1.1\n\n",
        b'{"process": Infinity, "host": "", "num_processes": 2}\n',
        b"[" * 100_000 + b"\n",
    )

    def knock():
        for text in texts:
            with calling(port) as one:
                one.sendall(text)
                knocked.append(text)

    stranger = threading.Thread(target=knock)
    stranger.start()
    with pytest.raises(PeerError, match="nobody else came"):
        meet(0, port, startup_timeout=3)
    stranger.join()
    assert len(knocked) == len(texts)


def test_a_process_too_many_is_named():
    port = hosts.free_port()

    def call(process):
        with contextlib.suppress(PeerError):
            meet(process, port, num_processes=3)

    callers = [threading.Thread(target=call, args=(1,)) for _ in range(2)]
    for caller in callers:
        caller.start()
    with pytest.raises(PeerError, match="process 1 on .* is one too many: there are 3"):
        meet(0, port, num_processes=3, startup_timeout=5)
    for caller in callers:
        caller.join(timeout=10)


def test_a_process_that_was_started_again_takes_its_place():
    port, met = hosts.free_port(), []
    first = threading.Thread(
        target=lambda: met.append(meet(0, port, num_processes=3, startup_timeout=20))
    )
    first.start()
    hello = dict(process=1, host="beta", num_processes=3)
    with calling(port) as dead:
        dead.sendall(json.dumps(hello).encode() + b"\n")
    with calling(port) as again, calling(port) as last:
        for process, one in ((1, again), (2, last)):
            text = json.dumps({**hello, "process": process}) + "\n"
            one.sendall(text.encode())
        assert "hosts" in json.loads(again.makefile().readline())
        first.join(timeout=20)
        assert met[0].place == (0, 3)
        met[0]._closed.set()


def test_processes_of_two_minds_about_their_number_are_named():
    port = hosts.free_port()

    def call():
        with contextlib.suppress(PeerError):
            meet(1, port, num_processes=3)

    caller = threading.Thread(target=call)
    caller.start()
    with pytest.raises(PeerError, match="a run of 3 processes, process 0 of one of 2"):
        meet(0, port, startup_timeout=5)
    caller.join(timeout=10)
