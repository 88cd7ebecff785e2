"""`starts.jsonl`: how a run was started, each time, so that a report can say it."""

import datetime
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from jaxseg.reporting import files
from jaxseg.reporting.metrics_file import strict

FILE = "starts.jsonl"


def record_start(
    workdir: str | os.PathLike[str],
    *,
    versions: Mapping[str, Any],
    is_main: bool = True,
    arguments: Sequence[str] | None = None,
) -> None:
    """Appends how this process was started; to be called once the folder is its own.

    Args:
        workdir: of the run; is made if it is not there.
        versions: of Python and packages, and the devices.
        is_main: False for all processes but the first, which write nothing.
        arguments: in place of the command line of this process, the program first.
    """
    if not is_main:
        return
    os.makedirs(workdir, exist_ok=True)
    _, *rest = sys.orig_argv if arguments is None else arguments
    start = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *rest]),  # not where it was installed
        "changed": changed(rest),
        "versions": versions,
    }
    files.append_line(os.path.join(workdir, FILE), json.dumps(strict(start)))


def changed(arguments: Sequence[str]) -> dict[str, str]:
    """Finds what a command line sets in the config: --config.KEY=VALUE or KEY VALUE."""
    found = {}
    for i, argument in enumerate(arguments):
        match = re.fullmatch(r"--?config\.([^=]+)(?:=(.*))?", argument, re.DOTALL)
        if match:
            key, value = match.groups()
            found[key] = " ".join(arguments[i + 1 : i + 2]) if value is None else value
    return found


def read_starts(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads what `record_start` wrote, the oldest first; none if there is no file."""
    return files.read_objects(os.path.join(workdir, FILE))
