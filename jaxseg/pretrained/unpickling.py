"""A pickle machine that knows tensors and nothing else: `Unpickler`.

A pickle is a program that may import and call what it names. Here every name is looked
up in a short table; what is not in it becomes an inert `Foreign`, so that the weights
beside an `argparse.Namespace` can be had. Nothing is imported, and no code runs that
the file chose.
"""

import collections
import math
import pickle
from typing import IO, Any, NamedTuple

import ml_dtypes  # noqa: F401  # tells NumPy of bfloat16
import numpy as np

# By PyTorch's name of the storage; typed ones are how files name the dtype.
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
    "_UntypedStorage": "uint8",
}
STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")
DTYPES = {
    *STORAGES.values(),
    *("uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"),
}
# What only a file with bad intent names. It could do no harm, but one wants to know.
HOSTILE_MODULES = {
    *("_io", "ctypes", "importlib", "io", "marshal", "nt", "os", "pickle", "posix"),
    *("pty", "runpy", "shutil", "socket", "subprocess", "sys", "webbrowser"),
}
HOSTILE_BUILTINS = {"__import__", "breakpoint", "compile", "eval", "exec", "open"}
SCRIPT = "__torch__"  # where a compiled program's own classes are
BUILTINS = ("builtins", "__builtin__")  # the second by Python 2


class Storage(NamedTuple):
    """A row of numbers somewhere in the file.

    Attributes:
        key: its name there.
        dtype: of the numbers, as PyTorch named the storage.
        start: how many of them to skip, where it is part of another storage.
    """

    key: str
    dtype: str
    start: int = 0


class Tensor(NamedTuple):
    """A tensor whose numbers have not been read.

    Attributes:
        storage: where they are.
        dtype: of the tensor.
        offset: of the first number in the storage.
        shape: of the tensor.
        strides: distances of neighbours along each axis, in numbers.
    """

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class HostilePickle(ValueError):
    """The file names what weights never need, such as os.system."""


class _Maker:
    """Makes what a function of PyTorch's does; no pickle can leave anything in it."""

    __slots__ = ()

    # What BUILD calls first; without it, it would look for attributes to set.
    def __setstate__(self, state):
        raise HostilePickle(f"{type(self).__name__}.__setstate__")


class _RebuildTensor(_Maker):
    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, *_) -> Tensor:
        return _tensor(storage, storage.dtype, offset, shape, strides)


class _RebuildTensorOfDtype(_Maker):
    __slots__ = ()

    def __call__(
        self, storage, offset, shape, strides, _grad, _hooks, dtype, *_
    ) -> Tensor:
        return _tensor(storage, dtype, offset, shape, strides)


class _RebuildParameter(_Maker):
    __slots__ = ()

    def __call__(self, tensor, *_) -> Any:
        return tensor


class _RebuildSubclass(_Maker):
    __slots__ = ()

    def __call__(self, rebuild, _type, args, _state) -> Any:
        return rebuild(*args)


# Nothing in here has attributes that a pickle could set.
KNOWN = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v3"): _RebuildTensorOfDtype(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    ("torch._utils", "_rebuild_parameter_with_state"): _RebuildParameter(),
    ("torch._tensor", "_rebuild_from_type_v2"): _RebuildSubclass(),
}


class Foreign:
    """Stands for whatever the file wanted to make; swallows what it is given.

    Attributes:
        wanted: the name, "argparse.Namespace".
    """

    wanted = "an object"

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __call__(self, *args, **kwargs):
        return self

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, item):
        pass

    def extend(self, items):
        pass

    def add(self, item):
        pass


class Scripted(dict):
    """A module of a compiled program (TorchScript), its attributes by name.

    CLIP's authors publish such programs. Their code lies beside the pickle, which only
    names it, and is not read.
    """

    def __setstate__(self, state):
        if isinstance(state, dict):
            self.update(state)


class Unpickler(pickle.Unpickler):
    """Reads one pickle; numbers of tensors lie elsewhere and are not read.

    Args:
        file: at the pickle's beginning; left at its end.

    Attributes:
        itemsizes: bytes of a number, by key of the storages that were named.
        counts: how many numbers each of them has, as the pickle says.
    """

    def __init__(self, file: IO[bytes]):
        # Strings by Python 2 may hold any bytes, which only this encoding never minds.
        super().__init__(file, encoding="latin1")
        self.itemsizes: dict[str, int] = {}
        self.counts: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What the table has under a name; nothing is imported.

        Raises:
            HostilePickle: for names such as os.system.
        """
        if (module, name) in KNOWN:
            return KNOWN[module, name]
        # Strings, since a pickle can set attributes of classes.
        if module in STORAGE_MODULES and name in STORAGES:
            return STORAGES[name]
        if module == "torch" and name in DTYPES:
            return name
        if module.split(".")[0] == SCRIPT:
            return type("Scripted", (Scripted,), {})
        if module.split(".")[0] in HOSTILE_MODULES or (
            module in BUILTINS and name.split(".")[0] in HOSTILE_BUILTINS
        ):
            raise HostilePickle(f"{module}.{name}")
        return type("Foreign", (Foreign,), {"wanted": f"{module}.{name}"})

    def persistent_load(self, saved: Any) -> Any:
        """A storage, or a module that was saved with its source."""
        kind, *details = saved
        if kind == "module":
            return details[0]
        if kind != "storage":
            raise pickle.UnpicklingError(f"unknown object {kind!r}")
        dtype, key, _device, count, *view = details
        if isinstance(dtype, type) and issubclass(dtype, Foreign):
            raise pickle.UnpicklingError(f"{dtype.wanted} is not read here")
        start = view[0][1] if view and view[0] is not None else 0
        _check_counts(start, count)
        if dtype not in DTYPES:
            raise pickle.UnpicklingError(f"unknown storage {dtype!r}")
        self.itemsizes[str(key)] = np.dtype(dtype).itemsize
        self.counts[str(key)] = count
        return Storage(str(key), dtype, start)


def _tensor(storage, dtype, offset, shape, strides) -> Tensor:
    _check_counts(offset, *shape, *strides)
    if not isinstance(storage, Storage) or dtype not in DTYPES:
        raise pickle.UnpicklingError(f"a tensor of {dtype!r} in {storage!r}")
    if len(shape) != len(strides) or math.prod(shape) > 2**48:
        raise pickle.UnpicklingError(f"shape {shape} with strides {strides}")
    return Tensor(storage, dtype, offset, tuple(shape), tuple(strides))


def _check_counts(*numbers: Any) -> None:
    wrong = [n for n in numbers if type(n) is not int or n < 0]
    if wrong:
        raise pickle.UnpicklingError(f"{wrong[0]!r} where a count should be")
