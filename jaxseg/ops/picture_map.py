"""A function of pictures over a batch, so many at a time that memory suffices."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType

# What the arrays of the pictures that are worked on at a time may take, a device.
MEMORY = 2 << 30


def map_pictures(
    function: Callable[..., Any], *arrays: jax.Array | None, bytes_each: int
) -> Any:
    """Applies a function of one or more pictures to the pictures of a batch.

    On a CPU they come one after the other, each product then being of two matrices; on
    others as many at a time as fit into `MEMORY`. Where `jax.set_mesh` names devices
    that the batch is split over, each works on its own.

    Args:
        function: of the arrays without their first axis, or with one of another length,
            at its choice; what it gives has the same first axis or none.
        *arrays: [B, ...] each, or None.
        bytes_each: memory a picture needs.

    Returns:
        What the function gives, with [B, ...].
    """
    b = next(len(array) for array in arrays if array is not None)
    devices = num_devices()
    steps = -(-b // (devices * _num_at_a_time(bytes_each)))
    width = -(-b // (max(steps, 1) * devices)) * devices

    def cut(array: jax.Array) -> jax.Array:
        # The pictures of a step come from all over the batch, so that each device has
        # its share of every step; a few steps get a picture of zeros.
        padding = [(0, steps * width - b)] + [(0, 0)] * (array.ndim - 1)
        split = jnp.pad(array, padding).reshape(width, steps, *array.shape[1:])
        return split.swapaxes(0, 1) if width != 1 else split[0]

    def join(array: jax.Array) -> jax.Array:
        joined = array.swapaxes(0, 1) if width != 1 else array[None]
        return joined.reshape(steps * width, *joined.shape[2:])[:b]

    found = jax.lax.map(lambda each: function(*each), jax.tree.map(cut, arrays))
    return jax.tree.map(join, found)


def _num_at_a_time(bytes_each: int) -> int:
    """How many pictures a device takes at a time."""
    if jax.default_backend() == "cpu":
        return 1
    return max(1, MEMORY // max(bytes_each, 1))


def num_devices() -> int:
    """How many devices split a batch; 1 where each sees its own part of it only."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or AxisType.Manual in mesh.axis_types:
        return 1
    return mesh.size
