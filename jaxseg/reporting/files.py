"""Files that are whole or not there: what a killed process leaves can be read."""

import json
import os
from typing import Any


def replace(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Writes a file under another name and then exchanges it; text as UTF-8.

    Args:
        path: of the file; its folder is made if it is not there.
        data: all of it.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    part = f"{os.fspath(path)}.part"
    with open(part, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
    os.replace(part, path)


def append_line(path: str | os.PathLike[str], text: str) -> None:
    """Appends one line, after a newline if the last process died within its own."""
    with open(path, "a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            text = text if file.read(1) == b"\n" else f"\n{text}"
        file.write(f"{text}\n".encode())


def read_objects(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads a file of one JSON object a line; none if it is not there.

    A line that broke off, as of a process that was killed, is passed over.
    """
    if not os.path.exists(path):
        return []
    found = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return [value for value in found if isinstance(value, dict)]
