"""A ring of the newest embeddings of each class; read `push`."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct


class Queue(struct.PyTreeNode):
    """The last T entries of each of C classes, and how many there are already.

    Attributes:
        values: [C, T, D]; slots never written are zero.
        pointer: [C] int32, the slot that is written next.
        fill: [C] int32, how many slots hold an entry.
    """

    values: jax.Array
    pointer: jax.Array
    fill: jax.Array


def empty(num_classes: int, length: int, dim: int, dtype: Any = "float32") -> Queue:
    """A queue of `length` slots a class that holds nothing yet."""
    return Queue(
        values=jnp.zeros((num_classes, length, dim), dtype),
        pointer=jnp.zeros((num_classes,), jnp.int32),
        fill=jnp.zeros((num_classes,), jnp.int32),
    )


def push(queue: Queue, keys: jax.Array, valid: jax.Array) -> Queue:
    """Appends each class's valid keys in their order, over the oldest entries.

    The o-th valid key of class c goes to slot (pointer_c + o) mod T. Of more than T
    only the last T are written, so that no slot is written twice and the result does
    not depend on the order of execution.

    Args:
        queue: before; nothing of it is kept back, so it may be donated.
        keys: [C, K, D], stored in the queue's dtype.
        valid: [C, K] bool, which keys there are.

    Returns:
        The queue after.

    Raises:
        ValueError: if the shapes do not go together.
    """
    num_classes, length, dim = queue.values.shape
    num_keys = valid.shape[-1]
    if keys.shape != (num_classes, num_keys, dim) or len(valid) != num_classes:
        raise ValueError(
            f"keys {keys.shape} and valid {valid.shape} do not fit a queue of "
            f"{queue.values.shape}: give [C, K, D] and [C, K]"
        )
    offset = jnp.cumsum(valid, axis=1, dtype=jnp.int32) - 1
    count = jnp.sum(valid, axis=1, dtype=jnp.int32)
    written = valid & (offset >= count[:, None] - length)
    # Slots beyond the end are dropped; they differ, as the scatter is promised.
    nowhere = length + jnp.arange(num_keys, dtype=jnp.int32)
    slot = jnp.where(written, (queue.pointer[:, None] + offset) % length, nowhere)
    rows = jnp.arange(num_classes, dtype=jnp.int32)[:, None]
    values = queue.values.at[rows, slot].set(
        keys.astype(queue.values.dtype), mode="drop", unique_indices=True
    )
    return Queue(
        values=values,
        pointer=(queue.pointer + count) % length,
        fill=jnp.minimum(queue.fill + count, length),
    )


def filled(queue: Queue) -> jax.Array:
    """Which slots hold an entry, [C, T] bool."""
    length = queue.values.shape[1]
    return jnp.arange(length, dtype=jnp.int32) < queue.fill[:, None]
