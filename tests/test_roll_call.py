import contextlib
import socket
import threading

import pytest

from jaxseg import roll_call
from jaxseg.peers import PeerError
from tests import hosts


def meet(process, port, **options):
    options = dict(num_processes=2, startup_timeout=1, peer_timeout=5) | options
    return roll_call.meet(("localhost", port), process=process, **options)


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
    port = hosts.free_port()

    def knock():
        for _ in range(50):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("localhost", port)) as one,
            ):
                one.sendall(b"GET / HTTP/1.1\n\n")
                return

    stranger = threading.Thread(target=knock)
    stranger.start()
    with pytest.raises(PeerError, match="nobody else came"):
        meet(0, port)
    stranger.join()


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
