"""Starts the processes of one run on this machine, each with CPU devices of its own."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time

from tests import xla

ROOT = pathlib.Path(__file__).parent.parent


def free_port():
    """A port that is free, and the one above it."""
    while True:
        with socket.create_server(("localhost", 0)) as one:
            port = one.getsockname()[1]
            with contextlib.suppress(OSError), socket.create_server(("", port + 1)):
                return port


@contextlib.contextmanager
def processes(*arguments, count=2, devices=4, missing=(), environ=()):
    """Runs `python ARGUMENTS` in `count` processes of one run, but the missing ones."""
    base = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "TPU"))}
    # The parent's number of devices is not theirs.
    base["XLA_FLAGS"] = xla.FAST
    base |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    if count > 1:
        address = f"localhost:{free_port()}"
        base |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(count)}
    started = [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env=base
            | ({"JAX_PROCESS_ID": str(i)} if count > 1 else {})
            | dict(environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(count)
        if i not in missing
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stdout.close()


def finish(started, timeout=480):
    """Exit codes and outputs."""
    deadline = time.monotonic() + timeout
    found = []
    for process in started:
        left = max(deadline - time.monotonic(), 1)
        output = process.communicate(timeout=left)[0]
        found.append((process.returncode, output))
    return zip(*found, strict=True)


def run(*arguments, **options):
    """Runs to the end; every process must succeed."""
    with processes(*arguments, **options) as started:
        codes, outputs = finish(started)
    assert not any(codes), "\n".join(outputs)
    return outputs
