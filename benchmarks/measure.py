"""What all benchmarks share: fair repetition, and the line they print."""

import datetime
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from jaxseg.ops import products
from jaxseg.reporting.report import peak_memory

Result = TypeVar("Result")
REST = 0.3  # seconds


def cpu() -> str:
    """The processor's name, for what always runs there."""
    return f"{platform.machine()}, {os.cpu_count()} cores"


def on_gpu() -> bool:
    """Whether JAX computes on a GPU."""
    return jax.default_backend() == "gpu"


def line(what: str, sizes: Mapping[str, Any], **numbers: float) -> dict[str, Any]:
    """One result: seconds are medians, ratios are within one run.

    Args:
        what: is measured.
        sizes: of the problem, and what else decides the number.
        **numbers: median, ratio, images_per_second, ...
    """
    device = jax.devices()[0].device_kind
    if device == "cpu":
        device = cpu()
    return {
        "what": what,
        "sizes": sizes,
        "device": device,
        "date": str(datetime.date.today()),
        **{key: float(f"{value:.4g}") for key, value in numbers.items()},
        "peak_memory_mb": round(peak_memory() / 2**20),
    }


def not_measured(what: str, sizes: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """In place of a result that there is none of."""
    return {"what": what, "sizes": sizes, "not_measured": reason}


def report(result: dict[str, Any]) -> None:
    """Prints one result as a line of JSON."""
    print(json.dumps(result), flush=True)


def in_turn(
    functions: Mapping[str, Callable[[], Result]], repeats: int
) -> dict[str, list[Result]]:
    """Calls each function once to warm up, then all of them in turn, several times.

    What else the machine does then meets all of them alike. Before each call is a rest:
    the threads of other libraries spin on for a while after theirs.

    Returns:
        The results of each function's calls but the first.
    """
    for function in functions.values():
        function()
    results: dict[str, list[Result]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            time.sleep(REST)
            results[name].append(function())
    return results


def timed(run: Callable[..., Any], *inputs: Any) -> Callable[[], float]:
    """A call of `run` that gives the seconds it took."""

    def seconds() -> float:
        began = time.perf_counter()
        jax.block_until_ready(run(*inputs))
        return time.perf_counter() - began

    return seconds


def product(dtype: str) -> tuple[Callable[[], float], float]:
    """A large matrix product, timed by each call, and its operations."""
    n = 8192 if on_gpu() else 1536
    a = jnp.ones((n, n), dtype)
    return timed(jax.jit(products.matmul), a, a), 2.0 * n**3
