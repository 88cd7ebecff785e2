"""What the authors' released code does with its memory, defects included.

For comparison runs only (`PiCo.official_memory_compat`), to tell a difference of the
method from a difference of the rest; what the paper describes is in `memory` and
`loss`. Start from `random_memory`, then read `update` (which pixels `pick_pixels`
finds) and `contrast`. Each docstring names the defects that its function keeps.

The stride mismatch and the queues per device of the released code are not kept: labels
are taken at the size of the embeddings, and one memory is fed by the whole batch.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg import sharding
from jaxseg.memory import queue as queues
from jaxseg.memory.queue import Queue
from jaxseg.methods.pico import streaming
from jaxseg.methods.pico.loss import Contrast, average
from jaxseg.methods.pico.memory import Memory, kept, region_means
from jaxseg.ops.sampling import smallest_in_groups


def random_memory(
    rng: jax.Array,
    num_classes: int,
    *,
    region_size: int,
    pixel_size: int,
    dim: int,
    dtype: Any = "float32",
) -> Memory:
    """The memory that the authors' code begins with.

    Kept defect: slots that nothing was written to hold random unit vectors, which count
    as samples of their class from the first step on.

    Args:
        rng: key of the vectors.
        num_classes: C.
        region_size: R, slots a class for regions.
        pixel_size: T, slots a class for pixels.
        dim: D.
        dtype: of the stored vectors.

    Returns:
        Two full queues with their pointers at 0.
    """
    region_rng, pixel_rng = jax.random.split(rng)

    def full(rng: jax.Array, length: int) -> Queue:
        values = jax.random.normal(rng, (num_classes, length, dim))
        norms = jnp.linalg.norm(values, axis=-1, keepdims=True)
        return queues.empty(num_classes, length, dim, dtype).replace(
            values=(values / norms).astype(dtype),
            fill=jnp.full((num_classes,), length, jnp.int32),
        )

    return Memory(
        region=full(region_rng, region_size), pixel=full(pixel_rng, pixel_size)
    )


def pick_pixels(
    labels: jax.Array, priority: jax.Array, *, num_classes: int, num_picks: int
) -> jax.Array:
    """Draws the positions that the authors' code stores as pixels of each class.

    Kept defects: of a class with m pixels it permutes 0 ... m - 1 and uses these
    numbers as positions in the whole map instead of in the list of the class's pixels,
    so that the queue fills with the first pixels of the picture, of whatever class.
    Class 0 is skipped.

    Args:
        labels: [B, h, w] class ids; ids outside [0, C) do not count.
        priority: [B, h, w] float32; the smallest of the first m are drawn, which makes
            a random order of one class but the same one for all.
        num_classes: C.
        num_picks: V.

    Returns:
        [B, C, V] int32 positions in the image's h w pixels; -1 beyond a class's count.
    """
    b = len(labels)
    labels, priority = labels.reshape(b, -1), priority.reshape(b, -1)
    position = jnp.arange(labels.shape[1], dtype=jnp.int32)

    def of_class(class_id: jax.Array) -> jax.Array:
        count = jnp.sum(labels == class_id, axis=1, keepdims=True)
        first = jnp.where((position < count) & (class_id > 0), 0, -1)
        return smallest_in_groups(first, priority, num_groups=1, num_picks=num_picks)

    # One class at a time: their sets overlap, and all at once are C times the map.
    picks = jax.lax.map(of_class, jnp.arange(num_classes, dtype=jnp.int32))
    return picks[:, :, 0].swapaxes(0, 1)


def update(
    memory: Memory, embeddings: jax.Array, labels: jax.Array, picks: jax.Array
) -> Memory:
    """Writes a batch into the memory as the authors' code does, image by image.

    The mean of each (image, class) goes to the ring of regions, as in ours. Kept
    defects: class 0 is never written; the pointer of the pixels moves on by one after K
    vectors are written, so that the next image overwrites all but the first; where the
    K vectors would reach the end of the queue, its last K slots are written instead and
    the pointer returns to 0.

    Args:
        memory: before.
        embeddings: [B, h, w, D] unit vectors.
        labels: [B, h, w] class ids; ids outside [0, C) do not count.
        picks: [B, C, V] positions in the image's h w pixels from `pick_pixels`, -1 for
            none. Of more than T picks only the last T are written (the authors' code
            breaks down).

    Raises:
        ValueError: if the memory has only one of the queues.

    Returns:
        The memory after. Its fill is that of the ring for regions and unchanged for
        pixels: the authors' code knows no fill, see `random_memory`.
    """
    if memory.region is None or memory.pixel is None:
        raise ValueError("the authors' memory has both a region and a pixel queue")
    b, h, w, d = embeddings.shape
    pixels = jax.lax.stop_gradient(embeddings).reshape(b, h * w, d)
    not_zero = jnp.arange(picks.shape[1]) > 0
    means, present = region_means(pixels, labels.reshape(b, h * w), picks.shape[1])
    at = jnp.maximum(picks, 0).reshape(b, -1, 1)
    chosen = jnp.take_along_axis(pixels, at, axis=1).reshape(*picks.shape, d)
    valid = (picks >= 0) & not_zero[:, None]
    means, present, chosen, valid = sharding.replicate((means, present, chosen, valid))

    def write(queue: Queue, image: tuple[jax.Array, jax.Array]) -> tuple[Queue, None]:
        return _write_pixels(queue, *image), None

    pixel, _ = jax.lax.scan(write, memory.pixel, (chosen, valid))
    region = queues.push(memory.region, means.swapaxes(0, 1), (present & not_zero).T)
    return Memory(region=region, pixel=pixel)


def _write_pixels(queue: Queue, keys: jax.Array, valid: jax.Array) -> Queue:
    """Writes the pixels [C, V, D] of one image where the authors' pointer says."""
    num_classes, length, _ = queue.values.shape
    count = jnp.sum(valid, axis=1, dtype=jnp.int32)
    at_end = queue.pointer + count >= length
    start = jnp.where(at_end, length - count, queue.pointer)
    slot = start[:, None] + jnp.cumsum(valid, axis=1, dtype=jnp.int32) - 1
    # A negative slot would count from the end; one beyond it is dropped.
    slot = jnp.where(valid & (slot >= 0), slot, length)
    rows = jnp.arange(num_classes, dtype=jnp.int32)[:, None]
    values = queue.values.at[rows, slot].set(
        keys.astype(queue.values.dtype), mode="drop"
    )
    moved = jnp.where(at_end, 0, queue.pointer + 1)
    return queue.replace(
        values=values, pointer=jnp.where(count > 0, moved, queue.pointer)
    )


def contrast(
    anchors: jax.Array,
    labels: jax.Array,
    views: jax.Array,
    memory: Memory,
    *,
    temperature: float,
    base_temperature: float,
) -> Contrast:
    """The authors' contrast of anchors with the memory alone.

    The formula is that of `loss.pixel_contrast`, without the anchors of the group. Kept
    defects: the matrix of the M regions and pixels of every class holds classes
    1 ... C - 1 and then M zero vectors that count as class 0, in place of what class 0
    has; row r of the anchors, in the authors' order (the first views of all pairs, the
    second views, ...), loses column r from its positives, as if the columns were the
    anchors; every slot counts, written or not.

    Args:
        anchors: [G, A, D] unit vectors in the order of `sampling.choose_anchors` (all
            views of the first pair, of the second, ...); gradients flow into these.
        labels: [G, A] int32 class ids; -1 marks an empty slot, which changes nothing.
        views: [G] int32, anchors of each pair.
        memory: of C classes.
        temperature: divides the cosines.
        base_temperature: the loss is multiplied by temperature over it.

    Returns:
        The mean over the anchors of a group that have a positive, then over groups that
        have such an anchor; 0 if there is none. The authors' code gives NaN for an
        anchor without a positive, which takes a memory of a single slot a class.
    """
    groups, a, d = anchors.shape
    rows, row_labels = anchors.reshape(-1, d), labels.reshape(-1)
    banks = [queue.values for queue in kept(memory)]
    length = sum(values.shape[1] for values in banks)
    filled = [jnp.ones(v.shape[:2], bool).at[0].set(False) for v in banks]

    # The zero vectors of class 0 have score 0, so they need no place in a bank.
    is_zero = row_labels == 0
    lse = jnp.where(is_zero, streaming.LOW, jnp.log(float(length)))
    hardest = jnp.where(is_zero, streaming.LOW, 0.0)
    for values, there in zip(banks, filled, strict=True):
        bank_lse, bank_hardest = streaming.negatives(
            rows, row_labels, values, there, temperature
        )
        lse = jnp.logaddexp(lse, bank_lse)
        hardest = jnp.maximum(hardest, bank_hardest)

    row = jax.vmap(_authors_row)(labels >= 0, views).reshape(-1)
    is_lost, score = _lost_positive(rows, row_labels, row, banks, temperature)
    losses = jnp.where(is_zero, length, 0) * jax.nn.softplus(lse)
    losses -= jnp.where(is_lost, jax.nn.softplus(lse - score), 0.0)
    scores = -jnp.where(is_lost, score, 0.0)
    for values, there in zip(banks, filled, strict=True):
        bank_losses, bank_scores = streaming.positives(
            rows, row_labels, lse, values, there, temperature
        )
        losses, scores = losses + bank_losses, scores + bank_scores

    counts = jnp.where(row_labels >= 0, length - is_lost, 0)
    losses, scores, counts, hardest = (
        x.reshape(groups, a) for x in (losses, scores, counts, hardest)
    )
    found = average(losses, scores, counts, hardest, temperature)
    return found.replace(loss=found.loss * (temperature / base_temperature))


def _authors_row(valid: jax.Array, views: jax.Array) -> jax.Array:
    """The row [A] of a group's anchors in the authors' matrix."""
    place = jnp.cumsum(valid) - 1
    num_pairs = jnp.sum(valid) // views
    return place % views * num_pairs + place // views


def _lost_positive(
    rows: jax.Array,
    labels: jax.Array,
    row: jax.Array,
    banks: Sequence[jax.Array],
    temperature: float,
) -> tuple[jax.Array, jax.Array]:
    """Whether column `row` is of the anchor's class, [N] bool, and its score, [N]."""
    num_classes = len(banks[0])
    length = sum(values.shape[1] for values in banks)
    class_id, slot = row // length + 1, row % length
    score = jnp.zeros(len(rows), jnp.float32)
    for values in banks:
        slots = values.shape[1]
        at = jnp.minimum(class_id, num_classes - 1), jnp.clip(slot, 0, slots - 1)
        entry = jax.lax.stop_gradient(values[at])
        products = jnp.sum(rows * entry, axis=1, dtype=jnp.float32)
        inside = (slot >= 0) & (slot < slots) & (class_id < num_classes)
        score = jnp.where(inside, products / temperature, score)
        slot -= slots
    # The last of the C blocks of columns is the one of class 0.
    return jnp.where(class_id == num_classes, 0, class_id) == labels, score
