"""Files that are whole or not there: what a killed process leaves can be read."""

import os


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
