"""What all benchmarks share: the line they print."""

import datetime
import json
import os
import platform
from typing import Any

import jax

from jaxseg.reporting.report import peak_memory


def line(what: str, sizes: dict[str, Any], **numbers: float) -> dict[str, Any]:
    """One result: seconds are medians, ratios are within one run.

    Args:
        what: is measured.
        sizes: of the problem, and what else decides the number.
        **numbers: median, ratio, images_per_second, ...
    """
    device = jax.devices()[0].device_kind
    if device == "cpu":
        device = f"{platform.machine()}, {os.cpu_count()} cores"
    return {
        "what": what,
        "sizes": sizes,
        "device": device,
        "date": str(datetime.date.today()),
        **{key: float(f"{value:.4g}") for key, value in numbers.items()},
        "peak_memory_mb": round(peak_memory() / 2**20),
    }


def report(result: dict[str, Any]) -> None:
    """Prints one result as a line of JSON."""
    print(json.dumps(result), flush=True)
