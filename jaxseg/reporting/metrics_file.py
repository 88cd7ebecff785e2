"""`metrics.jsonl`: the numbers of a run, one JSON object a line."""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxseg.reporting import files


class MetricsFile:
    """Appends lines such as {"step": 50, "split": "train", "loss": 0.5}.

    Every line is whole JSON: what is not finite becomes null, arrays become lists. A
    line is handed to the system at once, so that a killed process loses none.

    Args:
        workdir: is made if it is not there.
    """

    def __init__(self, workdir: str | os.PathLike[str]):
        os.makedirs(workdir, exist_ok=True)
        self._path = os.path.join(workdir, "metrics.jsonl")

    def write(self, step: int, split: str, values: Mapping[str, Any]) -> None:
        """Appends one line."""
        line = {"step": int(step), "split": split, **strict(values)}
        files.append_line(self._path, json.dumps(line, allow_nan=False))

    def rewind(self, step: int) -> None:
        """Removes what a run wrote after `step`, and a line that broke off.

        So no step of a resumed run is reported twice. The file is exchanged as a
        whole: a process killed meanwhile leaves the old one.
        """
        if not os.path.exists(self._path):
            return
        with open(self._path, encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
        kept = [line for line in lines if _step_of(line) <= step]
        if len(kept) == len(lines):
            return
        with open(f"{self._path}.part", "w", encoding="utf-8") as file:
            file.writelines(line.rstrip("\n") + "\n" for line in kept)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{self._path}.part", self._path)


def _step_of(line: str) -> float:
    """Returns the step of a line, infinity if it broke off."""
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return math.inf


def read(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads the whole lines of a work folder; none if there is no file."""
    return files.read_objects(os.path.join(workdir, "metrics.jsonl"))


def strict(value: Any) -> Any:
    """Turns arrays, NumPy numbers and what is not finite into strict JSON."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # NumPy and JAX arrays and numbers
        value = np.asarray(value).tolist()
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
