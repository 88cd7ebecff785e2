"""Where arrays live: the mesh, the placement of states and batches.

The step is written for the global batch, as if on one device; `jax.jit` with the
shardings of this module spreads it. This is the only module that names a mesh axis.
"""

import itertools
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxseg.config import ConfigError

DATA = "data"


def make_mesh(num_devices: int = 0) -> Mesh:
    """Lays the first `num_devices` devices, or all for 0, along the data axis.

    The devices of a process lie side by side, in the order of the processes, so that
    the batch is the same whoever reads it: the first process has its first pictures.

    Raises:
        ConfigError: if there are fewer devices, or a process would have none.
    """
    devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    if not 0 <= num_devices <= len(devices):
        raise ConfigError(
            f"num_devices is {num_devices}, but there are {len(devices)}: {devices}"
        )
    if num_devices not in (0, len(devices)) and jax.process_count() > 1:
        raise ConfigError(
            f"num_devices is {num_devices}, but the run has {len(devices)} devices in "
            f"{jax.process_count()} processes: use 0 for all of them, or start fewer "
            "processes"
        )
    devices = devices[: num_devices or None]
    # Explicit axes would make ordinary model code raise. `jax.make_mesh` would put TPUs
    # in another order.
    return Mesh(np.array(devices), (DATA,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def batched(mesh: Mesh) -> NamedSharding:
    """The first dimension is split over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def replicate(tree: Any) -> Any:
    """Gives every device all of these arrays, inside a step that `train` compiles.

    The compiler would find some placement by itself; this names the cheap one, where
    what a step adds to replicated state is much smaller than the state. Outside of a
    mesh (`jax.set_mesh`) it changes nothing.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec())


def split(tree: Any) -> Any:
    """Splits arrays by their first dimension, inside a step that `train` compiles.

    For what a step draws by itself: else every device would compute all of it. Arrays
    that the devices do not divide stay whole. Outside of a mesh it changes nothing.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return tree

    def place(leaf: jax.Array) -> jax.Array:
        if leaf.shape[0] % mesh.size:
            return leaf
        return jax.lax.with_sharding_constraint(leaf, PartitionSpec(DATA))

    return jax.tree.map(place, tree)


def check_batch_size(batch_size: int, mesh: Mesh, *, key: str) -> None:
    """Refuses a batch that does not split evenly over the devices.

    Raises:
        ConfigError: naming the config key and the batch sizes that would do.
    """
    if batch_size % mesh.size:
        below = batch_size // mesh.size * mesh.size
        raise ConfigError(
            f"{key} is {batch_size}, which {mesh.size} devices cannot share evenly; "
            f"use {below + mesh.size}"
            + (f" or {below}" if below else "")
            + ", or fewer devices (config.num_devices)"
        )


def place_state(
    shapes: Any, mesh: Mesh, rules: Sequence[tuple[str, Sequence[str | None]]] = ()
) -> Any:
    """Chooses a sharding for every array of a state.

    Args:
        shapes: a PyTree of arrays or `ShapeDtypeStruct`s.
        mesh: the devices.
        rules: (pattern, axes) pairs; the first pattern found in a leaf's path, such as
            "memory/values", gives its axes; what no rule matches is replicated.

    Returns:
        The same tree with a `NamedSharding` at every leaf.

    Raises:
        ConfigError: if a rule matches nothing, or does not fit the shape it matches.
    """
    unused = [pattern for pattern, _ in rules]

    def place(path: Any, leaf: Any) -> NamedSharding:
        name = path_name(path)
        for pattern, axes in rules:
            if re.search(pattern, name):
                if pattern in unused:
                    unused.remove(pattern)
                return fit(name, leaf, NamedSharding(mesh, PartitionSpec(*axes)))
        return replicated(mesh)

    placed = jax.tree_util.tree_map_with_path(place, shapes)
    if unused:
        raise ConfigError(f"config.sharding: no array of the state matches {unused}")
    return placed


def fit(name: str, leaf: Any, sharding: NamedSharding) -> NamedSharding:
    """Returns the sharding, or says why the array cannot be split that way."""
    if len(sharding.spec) > len(leaf.shape):
        raise ConfigError(
            f"config.sharding: {name} of shape {leaf.shape} has fewer axes than the "
            f"rule {sharding.spec}: give one entry an axis at most"
        )
    try:
        sharding.shard_shape(leaf.shape)
    except ValueError as error:
        number = sharding.mesh.size
        # Lengths of the split axes that do not divide, and the ones that would.
        uneven = [
            f"in place of {length} use {-(-length // number) * number}"
            + (f" or {length // number * number}" if length > number else "")
            for length, axis in zip(leaf.shape, sharding.spec, strict=False)
            if axis is not None and length % number
        ]
        raise ConfigError(
            f"config.sharding: {name} of shape {leaf.shape} cannot be split as "
            f"{sharding.spec} over {number} devices: {', '.join(uneven) or error}"
        ) from error
    return sharding


def path_name(path: Any) -> str:
    """Writes the path of a leaf with slashes: "params/segmentor/classifier/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def put(value: Any, like: jax.ShapeDtypeStruct) -> jax.Array:
    """Places an array that every process has whole, with no word to the others.

    Args:
        value: of the shape of `like`; is cast to its dtype.
        like: with a sharding.
    """
    whole = np.asarray(value).astype(like.dtype)
    return jax.make_array_from_callback(
        whole.shape, like.sharding, lambda index: whole[index]
    )


def to_devices(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Makes global arrays of this process's share of a batch."""
    sharding = batched(mesh)
    return {
        key: jax.make_array_from_process_local_data(sharding, value)
        for key, value in batch.items()
    }


def sum_of_processes(count: int) -> int:
    """Adds up what every process has counted; all must ask."""
    return sum(of_processes(count))


def of_processes(count: int) -> list[int]:
    """What every process has counted, by its index; all must ask."""
    if jax.process_count() == 1:
        return [count]
    return [int(x) for x in multihost_utils.process_allgather(np.int32(count))]


class Prefetch:
    """An iterator that keeps batches on their way to the devices while one is used.

    An error in a later batch comes up when that batch is asked for, not before.

    Args:
        batches: host batches; their attribute `skipped`, if there is one, is taken
            along.
        mesh: the devices.
        ahead: how many batches to keep on their way.

    Attributes:
        skipped: pictures skipped up to the batch handed out last.
    """

    def __init__(
        self, batches: Iterator[Mapping[str, np.ndarray]], mesh: Mesh, *, ahead: int = 2
    ):
        self.skipped = 0
        self._batches = batches
        self._mesh = mesh
        self._ahead = ahead
        self._placed: deque[tuple[dict[str, jax.Array], int]] = deque()
        self._error: Exception | None = None

    def __iter__(self) -> "Prefetch":
        return self

    def __next__(self) -> dict[str, jax.Array]:
        while len(self._placed) <= self._ahead and self._error is None:
            try:
                placed = to_devices(next(self._batches), self._mesh)
            except Exception as error:
                self._error = error
            else:
                skipped = getattr(self._batches, "skipped", 0)
                self._placed.append((placed, skipped))
        if not self._placed:
            assert self._error is not None
            raise self._error
        batch, self.skipped = self._placed.popleft()
        return batch


class OverSlots(NamedTuple):
    """How what was found in each device's slots of a bank is joined."""

    sum: Callable[[Any], Any]
    max: Callable[[Any], Any]


def read_bank(
    find: Callable[..., Any],
    rows: Sequence[jax.Array],
    values: jax.Array,
    filled: jax.Array,
) -> Any:
    """Compares rows with a bank on the devices, by where the bank is.

    Where `config.sharding` splits the slots of a bank, every device compares all rows
    with the slots that it has; nothing as large as the bank travels. Else every device
    compares its share of the rows with the bank, of which it has all. Which of the two
    is known only when a step is compiled, so it is decided then. Outside of a mesh
    (`jax.set_mesh`) there is nothing to decide. (Hence the cache of compiled programs
    does not serve a program of several devices that has this: its key would hold where
    in memory the decision is.)

    Args:
        find: `find(*rows, values, filled, over_slots)` gives arrays [A, ...], which it
            has joined by `over_slots` (`OverSlots`). It is not differentiated.
        rows: [A, ...] each.
        values: [C, M, D].
        filled: [C, M].

    Returns:
        What `find` gives of all rows and all slots.
    """
    whole = OverSlots(lambda x: x, lambda x: x)
    if jax.sharding.get_abstract_mesh().empty:
        return find(*rows, values, filled, whole)

    def partition(mesh: Mesh, arguments: Any, results: Any) -> Any:
        _, length, _ = values.shape
        _, of_device, _ = arguments[-2].sharding.shard_shape(values.shape)
        of_rows, of_bank, over_slots = PartitionSpec(), PartitionSpec(), whole
        if of_device * mesh.size == length and mesh.size > 1:
            of_bank = PartitionSpec(None, DATA)
            over_slots = OverSlots(
                lambda x: jax.lax.psum(x, DATA), lambda x: jax.lax.pmax(x, DATA)
            )
        elif len(rows[0]) % mesh.size == 0:
            of_rows = PartitionSpec(DATA)

        def on_device(*shares: jax.Array) -> Any:
            return find(*shares, over_slots)

        specs = [of_rows] * len(rows) + [of_bank] * 2
        places = tuple(NamedSharding(mesh, spec) for spec in specs)
        found = jax.tree.map(lambda _: NamedSharding(mesh, of_rows), results)
        return mesh, on_device, found, places

    def on_one(*arguments: jax.Array) -> Any:
        return find(*arguments, whole)

    arguments = (*rows, values, filled)
    read = custom_partitioning(on_one)
    rule = _by_rows(arguments, jax.eval_shape(on_one, *arguments))
    # Shardings as they are: rows may be split over a part of the devices, which no
    # `PartitionSpec` of this mesh says.
    read.def_partition(partition, sharding_rule=rule, decode_shardings=False)
    return read(*arguments)


def _by_rows(arguments: Sequence[jax.Array], found: Any) -> str:
    """Tells the compiler that rows stay rows: "a b, a, c m d, e f -> a, a"."""
    names = (f"n{i}" for i in itertools.count())

    def dimensions(array: Any, *, is_row: bool) -> str:
        fresh = list(itertools.islice(names, array.ndim - is_row))
        return " ".join(["rows"] * is_row + fresh)

    *rows, values, filled = arguments
    given = [dimensions(array, is_row=True) for array in rows]
    given += [dimensions(array, is_row=False) for array in (values, filled)]
    results = [dimensions(array, is_row=True) for array in jax.tree.leaves(found)]
    return f"{', '.join(given)} -> {', '.join(results)}"
