"""The problem that all forms of the contrast solve, each in a process of its own.

Peak memory is a number of a process. So `benchmarks.contrast` starts one for each form
by `started`; the process makes the same inputs as the others by `make` and answers by
`serve`. Nothing here imports a library that computes contrasts, since it would count.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

TEMPERATURE = 0.1
DIM = 256


class Sizes(NamedTuple):
    """How many anchors there are, and a class-wise bank of how many entries."""

    anchors: int
    classes: int
    slots: int


class Problem(NamedTuple):
    """Unit vectors [A, D] of classes [A], and a full bank [C, M, D] of unit vectors."""

    anchors: np.ndarray
    labels: np.ndarray
    bank: np.ndarray


def make(sizes: Sizes) -> Problem:
    """The same problem in every process."""
    rng = np.random.default_rng(0)
    anchors = _aligned(sizes.anchors, DIM)
    bank = _aligned(sizes.classes, sizes.slots, DIM)
    for vectors in (anchors, *bank):  # in place: a second bank would count as memory
        rng.standard_normal(dtype=np.float32, out=vectors)
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    labels = rng.permutation(sizes.anchors).astype(np.int32) % sizes.classes
    return Problem(anchors, labels, bank)


def serve(
    solve: Callable[[], tuple[float, np.ndarray]], peak_memory: Callable[[], int]
) -> None:
    """Solves the problem once for each line that comes in, and says what it took.

    Args:
        solve: gives the loss and its gradient [A, D].
        peak_memory: of this process or its device, in bytes.
    """
    before = peak_memory()
    for _ in sys.stdin:
        began = time.perf_counter()
        loss, gradient = solve()
        answer = dict(
            seconds=time.perf_counter() - began,
            loss=loss,
            gradient_norm=float(np.linalg.norm(gradient)),
            memory=peak_memory(),
            memory_before=before,
        )
        print(json.dumps(answer), flush=True)


class ProcessEnded(RuntimeError):
    """A process that should have answered is gone, for want of memory or by a fault."""


@contextlib.contextmanager
def started(
    module: str, form: str, sizes: Sizes, *, memory_limit: int = 0
) -> Iterator[Callable[[], dict[str, Any]]]:
    """Starts a process whose answers, one a call, are those of `serve`.

    The caller must be small: on Linux, a process's peak memory begins with that of the
    process that started it.

    Args:
        module: of `benchmarks`, whose `serve` it calls.
        form: what it measures.
        sizes: of the problem.
        memory_limit: bytes of addresses that it may have (`RLIMIT_AS`); 0 for any.
    """
    command = f"from benchmarks import {module}; {module}.serve({form!r}, {sizes[:]})"
    if memory_limit:
        limits = f"resource.RLIMIT_AS, ({memory_limit}, {memory_limit})"
        command = f"import resource; resource.setrlimit({limits}); {command}"
    # On a GPU, several of the processes share its memory.
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
    with subprocess.Popen(
        [sys.executable, "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        questions, answers = process.stdin, process.stdout
        assert questions is not None and answers is not None  # both are pipes

        def solve() -> dict[str, Any]:
            print(file=questions, flush=True)
            answer = answers.readline()
            if not answer:
                raise ProcessEnded(f"the process of {form!r} ended; it says why above")
            return json.loads(answer)

        yield solve


def _aligned(*shape: int) -> np.ndarray:
    """An array that JAX uses where it lies, which it does at multiples of 64 bytes."""
    size = 4 * int(np.prod(shape))
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(np.float32).reshape(shape)
