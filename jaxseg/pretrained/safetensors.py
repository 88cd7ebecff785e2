"""Reads and writes .safetensors: 8 bytes of header length, JSON header, raw arrays."""

import json
import math
import pathlib
from collections.abc import Mapping
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
LONGEST = 100_000_000  # bytes of a header, by the format's definition
AGAIN = "download or copy it again"

Path = str | pathlib.Path


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file, by name, in the file's own dtypes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no safetensors file, is damaged, or was cut off.
    """
    content = pathlib.Path(path).read_bytes()
    header, start = _header(content, path)
    data = memoryview(content)[start:]
    return {
        name: _array(name, entry, data, path)
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _header(content: bytes, path: Path) -> tuple[dict[str, Any], int]:
    """The JSON header, and where the data begins."""
    start = 8 + int.from_bytes(content[:8], "little")
    if len(content) >= 9 and content[8:9] != b"{":
        raise ValueError(f"{path} is not a safetensors file: it has no JSON header")
    if len(content) < 9 or start > len(content):
        raise ValueError(
            f"{path} ends within its header: it has {len(content)} bytes and was cut "
            f"off or damaged: {AGAIN}"
        )
    try:
        header = json.loads(content[8:start])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} has a damaged header ({error}): {AGAIN}") from error
    return header, start


def _array(name: str, entry: Any, data: memoryview, path: Path) -> np.ndarray:
    try:
        kind, shape = entry["dtype"], tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        size = math.prod(shape)
        whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(
            f"{path} has a damaged header ({name} is {str(entry)[:60]}): {AGAIN}"
        )
    if not isinstance(kind, str) or kind not in DTYPES:
        raise ValueError(f"{path}: {name} has dtype {kind}; known are {sorted(DTYPES)}")
    dtype = np.dtype(DTYPES[kind])
    if end > len(data):
        raise ValueError(
            f"{path} ends within {name}: {end - len(data)} bytes are missing, it was "
            f"cut off: {AGAIN}"
        )
    if end - begin != size * dtype.itemsize:
        raise ValueError(
            f"{path} has a damaged header ({name} has {end - begin} bytes, which is "
            f"not {shape}): {AGAIN}"
        )
    return np.frombuffer(data[begin:end], dtype).reshape(shape)


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by name, whole or not at all.

    Args:
        path: of the file; one that is there is replaced.
        arrays: of the dtypes that `read` knows.

    Raises:
        ValueError: for an array of another dtype.
    """
    header, blocks, begin = {}, [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": _kind(name, array.dtype),
            "shape": list(array.shape),
            "data_offsets": [begin, begin + len(data)],
        }
        blocks.append(data)
        begin += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the data begins at a multiple of 8
    part = pathlib.Path(f"{path}.part")
    part.write_bytes(b"".join([len(text).to_bytes(8, "little"), text, *blocks]))
    part.replace(path)


def _kind(name: str, dtype: np.dtype) -> str:
    for kind, known in DTYPES.items():
        if dtype == known:
            return kind
    raise ValueError(f"{name} has dtype {dtype}; known are {sorted(DTYPES)}")
