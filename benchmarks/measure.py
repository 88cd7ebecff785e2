"""What all benchmarks share: the line they print."""

import datetime
import json
from typing import Any

import jax


def report(line: dict[str, Any]) -> None:
    """Prints one measurement as JSON, with the device and the date."""
    device = jax.devices()[0]
    stamp = dict(device=device.device_kind, date=str(datetime.date.today()))
    rounded = {
        key: float(f"{value:.4g}") if isinstance(value, float) else value
        for key, value in line.items()
    }
    print(json.dumps(rounded | stamp), flush=True)
