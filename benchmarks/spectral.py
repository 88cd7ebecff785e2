"""Eigenvectors of pictures per second, beside SciPy's as the authors call it.

    pip install 'jaxseg[notebook]'
    python -m benchmarks.spectral [--nodes 900 1600] [--batch 1 32] [--repeats 5]

Prints one JSON object a line. From features [B, h, w, 384] to the 5 lowest
eigenvectors, the constant one among them, affinity included: ours by each method, and
Deep Spectral Segmentation's call of `scipy.sparse.linalg.eigsh` (shift-invert at 0 on
dense D - W), picture after picture, with one thread and with as many as there are
cores. They take turns: in a turn each rests for a moment, as threads of the one before
spin on for a while, is called for a moment, as after a rest the first calls are slower,
and then timed three times. `times_faster` is against the faster of those two. `sine` is
that of the largest angle between the span of the first picture's vectors and the exact
one.

What takes longer than `--longest` seconds is called once.
"""

import argparse
import functools
import importlib.util
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import measure, spectral_fields, spectral_scipy
from jaxseg.ops.affinity import affinity
from jaxseg.ops.spectral import METHODS, spectral_maps

COUNT, DIM = 5, 384
WARM, CALLS = 0.2, 3  # seconds of untimed calls in a turn, and timed calls


class Call(NamedTuple):
    """Something timed: it gives seconds, and what it found of the first picture."""

    run: Callable[[], float]
    vectors: Callable[[], np.ndarray]


def lines(
    nodes: int,
    batch: int,
    field: str,
    *,
    methods: Sequence[str] = METHODS,
    repeats: int,
    longest: float,
) -> Iterator[dict[str, Any]]:
    """All methods on one size, in turn."""
    side = math.isqrt(nodes)
    if side**2 != nodes:
        raise SystemExit(f"--nodes {nodes} is not a square: use {side**2}")
    kind = spectral_fields.KINDS[field]
    features, colours = spectral_fields.make(kind, batch, side, DIM)
    weight = kind.colour_weight
    calls = {name: of_ours(features, colours, weight, name) for name in methods}
    theirs = of_theirs(features, colours, weight)
    seconds = in_turn({**calls, **theirs}, repeats, longest)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    best = min(medians[name] for name in theirs)
    exact = spectral_scipy.Exact(
        affinity(
            features[0],
            colours=None if colours is None else colours[0],
            colour_weight=weight,
        ),
        COUNT,
    )
    sizes = dict(nodes=nodes, batch=batch, count=COUNT, dim=DIM, field=field)
    for name, call in {**calls, **theirs}.items():
        yield measure.line(
            f"eigenvectors: {name}",
            sizes | dict(calls=len(seconds[name])),
            median=medians[name],
            images_per_second=batch / medians[name],
            times_faster=best / medians[name],
            sine=exact.sine(call.vectors()),
        )


def of_ours(features, colours, weight: float, method: str) -> Call:
    """Compiles a method for a batch."""
    run = jax.jit(
        functools.partial(
            spectral_maps,
            count=COUNT,
            include_trivial=True,
            method=method,
            colour_weight=weight,
        )
    )
    given = jax.device_put((features,))
    named = {} if colours is None else dict(colours=jax.device_put(colours))
    program = run.lower(*given, **named).compile()

    def vectors() -> np.ndarray:
        return np.asarray(program(*given, **named)[0]).reshape(-1, COUNT)

    return Call(measure.timed(functools.partial(program, **named), *given), vectors)


def of_theirs(features, colours, weight: float) -> dict[str, Call]:
    """The authors' call with one thread, and with all."""
    limits = {"SciPy eigsh, one thread": 1, "SciPy eigsh, all threads": None}
    if importlib.util.find_spec("threadpoolctl") is None or os.cpu_count() == 1:
        limits.pop("SciPy eigsh, one thread")
    return {
        name: _of_theirs(features, colours, weight, limit)
        for name, limit in limits.items()
    }


def _of_theirs(features, colours, weight: float, limit: int | None) -> Call:
    kept = []

    def run() -> float:
        with spectral_scipy.threads(limit):
            began = time.perf_counter()
            found = []
            for i, picture in enumerate(features):
                extra = 0.0
                if colours is not None:
                    extra = weight * spectral_scipy.neighbours(colours[i])
                found.append(spectral_scipy.authors_vectors(picture, extra, COUNT))
            kept[:] = found[:1]
            return time.perf_counter() - began

    return Call(run, lambda: kept[0])


def in_turn(
    calls: dict[str, Call], repeats: int, longest: float
) -> dict[str, list[float]]:
    """Seconds of all calls; what is slow is called less often, or only once."""
    first = {name: call.run() for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            time.sleep(measure.REST)
            for _ in range(int(WARM / max(first[name], WARM / 100))):
                call.run()
            for _ in range(CALLS):
                if (len(seconds[name]) + 1) * first[name] <= longest:
                    seconds[name].append(call.run())
    return {name: times or [first[name]] for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    several = dict(nargs="+")
    parser.add_argument("--nodes", type=int, default=[900, 1024, 1600, 3600], **several)
    parser.add_argument("--batch", type=int, default=[1, 32], **several)
    parser.add_argument(
        "--fields", default=["A"], choices=spectral_fields.KINDS, **several
    )
    parser.add_argument("--methods", default=METHODS, choices=METHODS, **several)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--longest", type=float, default=20.0, help="seconds")
    options = parser.parse_args()
    for field in options.fields:
        for nodes in options.nodes:
            for batch in options.batch:
                for line in lines(
                    nodes,
                    batch,
                    field,
                    methods=options.methods,
                    repeats=options.repeats,
                    longest=options.longest,
                ):
                    measure.report(line)


if __name__ == "__main__":
    main()
