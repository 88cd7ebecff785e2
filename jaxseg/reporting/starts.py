"""`starts.jsonl`: how a run was started, each time, so that a report can say it."""

import datetime
import json
import os
from collections.abc import Mapping
from typing import Any

from jaxseg.reporting import files
from jaxseg.reporting.metrics_file import strict

FILE = "starts.jsonl"


def record_start(
    workdir: str | os.PathLike[str],
    *,
    command: str,
    changed: Mapping[str, Any],
    versions: Mapping[str, Any],
    is_main: bool = True,
) -> None:
    """Appends how this process was started.

    Args:
        workdir: of the run; is made if it is not there.
        command: as it can be typed again.
        changed: what it sets in the config, by key.
        versions: of Python and packages, and the devices.
        is_main: False for all processes but the first, which write nothing.
    """
    if not is_main:
        return
    os.makedirs(workdir, exist_ok=True)
    start = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "changed": {key: str(value) for key, value in changed.items()},
        "versions": versions,
    }
    files.append_line(os.path.join(workdir, FILE), json.dumps(strict(start)))


def read_starts(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads what `record_start` wrote, the oldest first; none if there is no file."""
    return files.read_objects(os.path.join(workdir, FILE))
