"""Reads what torch.save wrote, .pth, .pt or .bin, without torch: `read`.

Since PyTorch 1.6 such a file is a zip archive: `NAME/data.pkl` says which tensors there
are, `NAME/data/0`, `NAME/data/1`, ... are their numbers. Before, and in many files that
are still around, it was a stream: pickles of a magic number, the version, the system,
the tensors and the storages' keys, then the numbers. Those that are not needed, as an
optimiser's, are not read.
"""

import math
import os
import pathlib
import sys
import zipfile
from collections.abc import Callable, Mapping
from typing import IO, Any

import ml_dtypes  # noqa: F401  # tells NumPy of bfloat16
import numpy as np

from jaxseg.pretrained import state_dict
from jaxseg.pretrained.unpickling import HostilePickle, Tensor, Unpickler

# As the first pickle of a stream holds it, in every version of the format.
MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

# Bytes that expanded tensors may repeat what is in the file to: masks, not bombs.
MOST_REPEATED = 2**30

Path = str | pathlib.Path
Fetch = Callable[[str], bytes]


class Refused(ValueError):
    """The file is whole, and wrong; the text is what to say of it."""


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a state dict by name, in the file's own dtypes.

    Args:
        path: of a file by torch.save; what else is in it is left out, and of several
            networks one is taken (`state_dict.find`).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds no arrays by name, unpacks to more than
            it says, or wants to call what weights never need. No code of it is ever
            run.
    """
    with open(path, "rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        try:
            return _read_zip(file) if is_zip else _read_stream(file)
        except HostilePickle as error:
            raise ValueError(
                f"{path} wants to call {error}, which weights never need: it may be "
                "malicious, nothing of it was run, and it is not read"
            ) from None
        except (state_dict.NoArraysError, Refused) as error:
            raise ValueError(f"{path} {error}") from None
        except RecursionError:
            raise ValueError(
                f"{path} nests dicts or lists too deeply to be read, which weights "
                "never need: it may be malicious"
            ) from None
        # A damaged pickle can fail in any way.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(
                f"{path} is a PyTorch file that is cut off or damaged ({reason}): "
                "download or copy it again"
            ) from error


def _read_zip(file: IO[bytes]) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        folder = next(n for n in names if n.endswith("/data.pkl"))[: -len("data.pkl")]
        with archive.open(f"{folder}data.pkl") as pickled:
            unpickler = Unpickler(pickled)
            tree = unpickler.load()
        order = "little"
        if f"{folder}byteorder" in names:
            order = archive.read(f"{folder}byteorder").decode()
        if order not in ("little", "big"):
            raise Refused(f"has its bytes in order {order!r}, not 'little' or 'big'")

        def fetch(key: str) -> bytes:
            name = f"{folder}data/{key}"
            found = archive.getinfo(name).file_size // unpickler.itemsizes[key]
            count = unpickler.counts[key]
            if found > count:
                raise Refused(
                    f"says that storage {key} has {count} numbers, and it unpacks to "
                    f"{found}: it may be malicious, and is not read"
                )
            return archive.read(name)

        return _arrays(tree, fetch, order)


def _read_stream(file: IO[bytes]) -> dict[str, np.ndarray]:
    _magic, version, _system = (Unpickler(file).load() for _ in range(3))
    if version != 1001:
        raise ValueError(f"version {version!r} of the format is unknown")
    unpickler = Unpickler(file)
    tree = unpickler.load()
    keys = Unpickler(file).load()
    places = _places(file, keys, unpickler.itemsizes)

    def fetch(key: str) -> bytes:
        begin, size = places[key]
        file.seek(begin)
        return file.read(size)

    return _arrays(tree, fetch, "little")  # on any machine


def _places(
    file: IO[bytes], keys: list[str], itemsizes: Mapping[str, int]
) -> dict[str, tuple[int, int]]:
    """Where each storage's bytes begin, and how many there are."""
    end = os.fstat(file.fileno()).st_size
    places = {}
    for key in keys:
        size = int.from_bytes(file.read(8), "little") * itemsizes[key]
        begin = file.tell()
        if begin + size > end:
            raise ValueError(f"{begin + size - end} bytes are missing")
        places[key] = begin, size
        file.seek(size, os.SEEK_CUR)
    return places


def _arrays(tree: Any, fetch: Fetch, order: str) -> dict[str, np.ndarray]:
    """Reads the numbers of the network in a tree.

    Args:
        tree: what the pickle holds.
        fetch: gives the bytes of the storage with a key.
        order: of the bytes of a number, "little" or "big".
    """
    tensors = state_dict.find(tree)
    data = {key: fetch(key) for key in {t.storage.key for t in tensors.values()}}
    sizes = ((_num_bytes(t), len(data[t.storage.key])) for t in tensors.values())
    repeated = sum(size for size, there in sizes if size > there)
    if repeated > MOST_REPEATED:
        raise Refused(
            f"has tensors that repeat few numbers to {repeated} bytes, more than the "
            f"{MOST_REPEATED} that are read: it may be malicious"
        )
    return {
        name: _array(tensor, data[tensor.storage.key], order)
        for name, tensor in tensors.items()
    }


def _num_bytes(tensor: Tensor) -> int:
    return math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize


def _array(tensor: Tensor, data: bytes, order: str) -> np.ndarray:
    """A read-only view of a tensor's numbers, in the machine's byte order."""
    storage, dtype = tensor.storage, np.dtype(tensor.dtype)
    if 0 in tensor.shape:
        return np.empty(tensor.shape, dtype)
    begin = storage.start * np.dtype(storage.dtype).itemsize
    begin += tensor.offset * dtype.itemsize
    last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    missing = begin + (last + 1) * dtype.itemsize - len(data)
    if missing > 0:
        raise ValueError(f"{missing} bytes are missing in storage {storage.key}")
    numbers = np.frombuffer(data, dtype, count=last + 1, offset=begin)
    if order != sys.byteorder:
        numbers = numbers.byteswap()
    strides = [s * dtype.itemsize for s in tensor.strides]
    return np.lib.stride_tricks.as_strided(
        numbers, tensor.shape, strides, writeable=False
    )
