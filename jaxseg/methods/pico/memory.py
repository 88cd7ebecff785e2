"""What PiCo remembers: pixels and regions of every class, in one bank; read `update`.

The bank is an ordinary global array, the same on every device, and is fed by the images
of all of them in the order of the global batch: the result does not depend on how many
devices there are. The images' embeddings are compared with the bank before it is fed.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxseg import sharding
from jaxseg.memory import queue as queues
from jaxseg.memory.queue import Queue
from jaxseg.methods.pico.loss import Bank
from jaxseg.ops.lengths import unit_length


class Memory(struct.PyTreeNode):
    """Two queues, each of all classes; None for one that is not kept.

    Attributes:
        region: one entry for every image and class, the mean of the class's pixels.
        pixel: a few pixels for every image and class.
    """

    region: Queue | None
    pixel: Queue | None


def empty(
    num_classes: int, *, region_size: int, pixel_size: int, dim: int, dtype: Any
) -> Memory:
    """A memory of so many regions and pixels a class, or none, that is empty yet."""

    def ring(length: int) -> Queue | None:
        return queues.empty(num_classes, length, dim, dtype) if length else None

    return Memory(region=ring(region_size), pixel=ring(pixel_size))


def update(
    memory: Memory, embeddings: jax.Array, labels: jax.Array, picks: jax.Array
) -> Memory:
    """Appends the regions of a batch and the chosen pixels, image by image.

    Args:
        memory: before.
        embeddings: [B, h, w, D] unit vectors; they get no gradient from here.
        labels: [B, h, w] class ids; ids outside [0, C) are in no region.
        picks: [B, C, V] int32 pixels of each class to remember; -1 for none.

    Returns:
        The memory after.
    """
    b, h, w, d = embeddings.shape
    pixels = jax.lax.stop_gradient(embeddings).reshape(b, h * w, d)
    _, num_classes, num_picks = picks.shape
    means, present = region_means(pixels, labels.reshape(b, h * w), num_classes)
    at = jnp.maximum(picks, 0).reshape(b, -1, 1)
    chosen = jnp.take_along_axis(pixels, at, axis=1)
    chosen = chosen.reshape(b, num_classes, num_picks, d)
    # Only what is appended travels between the devices, not the embeddings.
    chosen, picks = sharding.replicate((chosen, picks))
    by_class = (num_classes, b * num_picks)
    region, pixel = memory.region, memory.pixel
    if region is not None:
        region = queues.push(region, means.swapaxes(0, 1), present.T)
    if pixel is not None:
        pixel = queues.push(
            pixel,
            chosen.swapaxes(0, 1).reshape(*by_class, d),
            (picks >= 0).swapaxes(0, 1).reshape(by_class),
        )
    return Memory(region=region, pixel=pixel)


def region_means(
    pixels: jax.Array, labels: jax.Array, num_classes: int
) -> tuple[jax.Array, jax.Array]:
    """The normalised mean embedding of every class in every image.

    Args:
        pixels: [B, N, D].
        labels: [B, N] class ids; others do not count.
        num_classes: C.

    Returns:
        [B, C, D] float32 unit vectors, and [B, C] bool, whether the class is there.
    """
    membership = jax.nn.one_hot(labels, num_classes, dtype=pixels.dtype)  # [B, N, C]
    sums = jnp.einsum(
        "bnc,bnd->bcd",
        membership,
        pixels,
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )
    counts = jnp.sum(membership, axis=1, dtype=jnp.float32)
    # A norm's last bit depends on how many images a device holds: let each hold all.
    sums, counts = sharding.replicate((sums, counts))
    means = sums / jnp.maximum(counts, 1.0)[..., None]
    return unit_length(means), counts > 0


def kept(memory: Memory) -> tuple[Queue, ...]:
    """The queues that there are."""
    return tuple(q for q in (memory.region, memory.pixel) if q is not None)


def banks(memory: Memory) -> tuple[Bank, ...]:
    """The memory as the contrast reads it, without a copy."""
    return tuple((queue.values, queues.filled(queue)) for queue in kept(memory))


def fill(memory: Memory) -> jax.Array:
    """Which share of the slots is filled, [] float32."""
    slots = [queues.filled(queue) for queue in kept(memory)]
    return jnp.mean(jnp.concatenate(slots, axis=1), dtype=jnp.float32)
