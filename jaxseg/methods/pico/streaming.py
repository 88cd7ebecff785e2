"""Contrast with a whole bank of embeddings, of which only a block is ever compared.

A matrix of anchors times entries would be gigabytes (1024 x 621 775 at paper size on
Cityscapes). `negatives` passes over the bank once, with a log-sum-exp that is kept up
to date; `positives` then compares each anchor with the entries of its own class alone.
The bank is a constant, so both also find their gradient on the way, and the backward
pass multiplies by it: nothing is computed twice.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg import sharding
from jaxseg.sharding import OverSlots

# Stands for log 0: far below any score, yet finite, so that gradients stay so.
LOW = -1e30
# Most entries that are compared at a time: large enough for matrix units, small enough
# for the scores of 1024 anchors to stay in a CPU's cache.
BLOCK = 2_048
# Anchors of one class that are compared with their class at a time.
TILE = 64


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def negatives(
    anchors: jax.Array,
    labels: jax.Array,
    values: jax.Array,
    filled: jax.Array,
    temperature: float,
) -> tuple[jax.Array, jax.Array]:
    """Log-sum-exp of every anchor's scores with the bank's entries of other classes.

    Args:
        anchors: [A, D]; gradients flow into these only.
        labels: [A] int32 class ids; of an anchor without class any result will do.
        values: [C, M, D] the bank; products are of its dtype, sums float32.
        filled: [C, M] bool, which entries there are.
        temperature: divides the products; a constant.

    Returns:
        [A] float32 log-sum-exp, `LOW` where there is no entry, and [A] float32 the
        highest score, without gradient, `LOW` likewise.
    """
    lse, top, _ = _negatives(anchors, labels, values, filled, temperature, False)
    return lse, top


def _negatives(anchors, labels, values, filled, temperature, with_gradient: bool):
    find = functools.partial(
        _find_negatives, temperature=temperature, with_gradient=with_gradient
    )
    return sharding.read_bank(find, (anchors, labels), values, filled)


def _find_negatives(
    anchors: jax.Array,
    labels: jax.Array,
    values: jax.Array,
    filled: jax.Array,
    over_slots: OverSlots,
    *,
    temperature: float,
    with_gradient: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Log-sum-exp, highest score, and the former's gradient, [A, D] or [A, 0]."""
    num_classes, length, dim = values.shape
    num_blocks = -(-length // BLOCK)
    block = -(-length // num_blocks)  # evenly, so that little is compared twice
    rows, bits = jnp.asarray(anchors, values.dtype), _bits(values)

    def add_block(carry: Any, index: jax.Array) -> tuple[Any, None]:
        top, total, mean_key = carry
        class_id, number = index // num_blocks, index % num_blocks
        # The last block is moved to end with the bank; what it shares does not count.
        start = jnp.minimum(number * block, length - block)
        keys = jax.lax.dynamic_slice(bits, (class_id, start, 0), (1, block, dim))[0]
        keys = _numbers(keys, values.dtype)
        there = jax.lax.dynamic_slice(filled, (class_id, start), (1, block))[0]
        there &= start + jnp.arange(block) >= number * block
        scores = _dot(rows, keys.T) / temperature  # [A, block]
        is_negative = (labels != class_id)[:, None] & there
        scores = jnp.where(is_negative, scores, LOW)
        new_top = jnp.maximum(top, jnp.max(scores, axis=1))
        # A tenth of LOW is still log 0, and makes exp(LOW - ...) zero without a mask.
        reference = jnp.maximum(new_top, LOW / 10)[:, None]
        kept = jnp.exp(top[:, None] - reference)
        weights = jnp.exp(scores - reference)
        total = total * kept[:, 0] + jnp.sum(weights, axis=1)
        if with_gradient:
            mean_key = mean_key * kept + _dot(weights.astype(keys.dtype), keys)
        return (new_top, total, mean_key), None

    start = (
        jnp.full(len(anchors), LOW, jnp.float32),
        jnp.zeros(len(anchors), jnp.float32),
        jnp.zeros((len(anchors), dim if with_gradient else 0), jnp.float32),
    )
    indices = jnp.arange(num_classes * num_blocks)
    (found, total, mean_key), _ = jax.lax.scan(add_block, start, indices)
    top = over_slots.max(found)
    kept = jnp.exp(found - jnp.maximum(top, LOW / 10))
    total = over_slots.sum(total * kept)
    mean_key = over_slots.sum(mean_key * kept[:, None])
    there = total > 0
    total = jnp.where(there, total, 1.0)
    lse = jnp.where(there, top + jnp.log(total), LOW)
    return lse, top, mean_key / (total[:, None] * temperature)


def _negatives_forward(anchors, labels, values, filled, temperature):
    lse, top, gradient = _negatives(anchors, labels, values, filled, temperature, True)
    return (lse, top), gradient.astype(anchors.dtype)


def _negatives_backward(temperature, gradient, cotangents):
    del temperature
    of_lse, _ = cotangents
    grad = of_lse[:, None] * gradient
    return grad.astype(gradient.dtype), None, None, None


negatives.defvjp(_negatives_forward, _negatives_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def positives(
    anchors: jax.Array,
    labels: jax.Array,
    lse: jax.Array,
    values: jax.Array,
    filled: jax.Array,
    temperature: float,
) -> tuple[jax.Array, jax.Array]:
    """Sums log(1 + exp(lse_i - s_ip)) over the entries p of every anchor's own class.

    Args:
        anchors: [A, D]; gradients flow into these and into `lse`.
        labels: [A] int32 class ids; ids outside [0, C) have no entries.
        lse: [A] float32, the log-sum-exp of the anchor's negatives.
        values: [C, M, D] the bank; products are of its dtype, sums float32.
        filled: [C, M] bool, which entries there are.
        temperature: divides the products; a constant.

    Returns:
        [A] float32 sum of the losses, and [A] float32 sum of the scores s_ip, without
        gradient; both 0 where there is no entry.
    """
    (losses, scores), _ = _positives_forward(
        anchors, labels, lse, values, filled, temperature
    )
    return losses, scores


def _positives_forward(anchors, labels, lse, values, filled, temperature):
    find = functools.partial(_find_positives, temperature=temperature)
    rows = (anchors, labels, lse)
    losses, scores, *gradients = sharding.read_bank(find, rows, values, filled)
    return (losses, scores), gradients


def _find_positives(
    anchors: jax.Array,
    labels: jax.Array,
    lse: jax.Array,
    values: jax.Array,
    filled: jax.Array,
    over_slots: OverSlots,
    *,
    temperature: float,
) -> tuple[jax.Array, ...]:
    """Sums of losses and scores, and the former's gradients: by lse, by anchors."""
    num_classes, _, dim = values.shape
    # Anchors of a class lie side by side, so that each tile meets one class only.
    order = jnp.argsort(labels)
    edges = jnp.searchsorted(labels[order], jnp.arange(num_classes + 1))
    # Tiles may begin anywhere, so the last one may reach beyond the anchors.
    order = jnp.pad(order, (0, TILE), constant_values=len(labels))
    rows = jnp.asarray(anchors, values.dtype)

    def of_class(carry: Any, inputs: Any) -> tuple[Any, None]:
        first, last, bits, there = inputs
        keys = _numbers(bits, values.dtype)

        def add_tile(number: jax.Array, sums: Any) -> Any:
            start = first + number * TILE
            members = jax.lax.dynamic_slice(order, (start,), (TILE,))
            inside = start + jnp.arange(TILE) < last
            found = _compare(rows[members], lse[members], keys, there, temperature)
            nowhere = len(labels) + jnp.arange(TILE)
            places = jnp.where(inside, members, nowhere)
            return tuple(
                sum_.at[places].set(value, mode="drop", unique_indices=True)
                for sum_, value in zip(sums, found, strict=True)
            )

        num_tiles = -(-(last - first) // TILE)
        return jax.lax.fori_loop(0, num_tiles, add_tile, carry), None

    per_anchor = jnp.zeros(len(anchors), jnp.float32)
    start = (per_anchor, per_anchor, per_anchor, jnp.zeros((len(anchors), dim)))
    inputs = (edges[:-1], edges[1:], _bits(values), filled)
    sums, _ = jax.lax.scan(of_class, start, inputs)
    losses, scores, of_lse, of_anchors = over_slots.sum(sums)
    return losses, scores, of_lse, of_anchors.astype(anchors.dtype)


def _compare(rows, lse, keys, there, temperature: float) -> tuple[jax.Array, ...]:
    """Sums over a class's entries, for rows [N, D] of that class.

    Returns:
        [N] losses, [N] scores, and the losses' derivatives by lse, [N], and by the
        rows, [N, D].
    """
    scores = _dot(rows, keys.T) / temperature  # [N, M]
    margin = jnp.where(there, lse[:, None] - scores, LOW)
    slope = jax.nn.sigmoid(margin)  # the derivative of softplus
    return (
        jnp.sum(jax.nn.softplus(margin), axis=1),
        jnp.sum(jnp.where(there, scores, 0.0), axis=1),
        jnp.sum(slope, axis=1),
        -_dot(slope.astype(keys.dtype), keys) / temperature,
    )


def _positives_backward(temperature, gradients, cotangents):
    del temperature
    of_lse, of_anchors = gradients
    of_losses, _ = cotangents
    grad = (of_losses[:, None] * of_anchors).astype(of_anchors.dtype)
    return grad, None, of_losses * of_lse, None, None


positives.defvjp(_positives_forward, _positives_backward)


def _bits(values: jax.Array) -> jax.Array:
    """Numbers of 16 bits as integers: CPUs slice those without a copy in float32."""
    if values.dtype.itemsize == 2:
        return jax.lax.bitcast_convert_type(values, jnp.uint16)
    return values


def _numbers(bits: jax.Array, dtype: Any) -> jax.Array:
    """What `_bits` had."""
    return bits if bits.dtype == dtype else jax.lax.bitcast_convert_type(bits, dtype)


def _dot(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.dot(x, y, preferred_element_type=jnp.float32)
