"""Reads .safetensors files: 8 bytes of header length, a JSON header, raw arrays."""

import json
import math
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """All arrays of a file, by name, in the file's own dtypes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no safetensors file, or was cut off.
    """
    content = pathlib.Path(path).read_bytes()
    header, start = _header(content, path)
    data = memoryview(content)[start:]
    return {
        name: _array(name, entry, data, path)
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _header(
    content: bytes, path: str | pathlib.Path
) -> tuple[dict[str, dict[str, Any]], int]:
    """The JSON header, and where the data begins."""
    start = 8 + int.from_bytes(content[:8], "little")
    if len(content) >= 9 and content[8:9] != b"{":
        raise ValueError(f"{path} is not a safetensors file: it has no JSON header")
    if len(content) < 9 or start > len(content):
        raise ValueError(
            f"{path} ends within its header: it has {len(content)} bytes. Was the "
            "download cut off?"
        )
    try:
        return json.loads(content[8:start]), start
    except ValueError as error:
        raise ValueError(f"{path} has a damaged header: {error}") from error


def _array(
    name: str, entry: dict[str, Any], data: memoryview, path: str | pathlib.Path
) -> np.ndarray:
    if entry["dtype"] not in DTYPES:
        raise ValueError(
            f"{path}: {name} has dtype {entry['dtype']}; known are {sorted(DTYPES)}"
        )
    dtype = np.dtype(DTYPES[entry["dtype"]])
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if end > len(data):
        raise ValueError(
            f"{path} ends within {name}: {end - len(data)} bytes are missing. Was the "
            "download cut off?"
        )
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"{path}: {name} has {end - begin} bytes, which is not {shape}"
        )
    return np.frombuffer(data[begin:end], dtype).reshape(shape)
