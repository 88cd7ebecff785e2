"""Contrast with chosen examples of a bank and with synthetic negatives.

Read `chosen_contrast` first, then `_compare`, which is the method; `choice` has the
sets of examples, `mixes` the synthetic negatives.

What makes it fast enough for 1024 anchors and 40 000 columns, beside the choice without
a sort: a few anchors of every group are compared at a time, and their gradient is found
at once, so that no matrix of anchors times columns outlives its turn.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg.methods.pico.choice import Columns, choose, draw_columns, products, ranks
from jaxseg.methods.pico.loss import (
    Bank,
    Contrast,
    average,
    logsumexp,
    of_labels,
    relations,
    sum_of_losses,
)
from jaxseg.methods.pico.mixes import Pairs, mix_scores, pairs_of_classes
from jaxseg.methods.pico.rule import ExampleRule

# Most anchors of every group that are compared with all columns at a time, and most
# scores that this may make, of all groups: 134 MB.
CHUNK = 64
BUDGET = 2**25


def chosen_contrast(
    anchors: jax.Array,
    labels: jax.Array,
    banks: Sequence[Bank],
    rng: jax.Array,
    *,
    rule: ExampleRule,
    with_batch: bool,
    temperature: float,
    base_temperature: float,
) -> Contrast:
    """The contrast of `loss.pixel_contrast` with chosen examples of the banks.

    P_i and N_i are the other anchors of the group, with `with_batch` all of them, those
    entries of the banks that the rule chooses for anchor i, and for N_i the mixes of
    its chosen negatives with each other and with the anchor.

    Where K of a set T are to be drawn, their sums are replaced by the expectation:
    sum_{n in N_i} e^s_in by K / |T| sum_{n in T} e^s_in, the mean over drawn positives
    by the mean over the set. That takes the noise of a draw away and is an upper bound
    of the mean loss over draws (Jensen), by little. Members that tie with the last one
    of a set of hardest all belong to it, with their share.

    Args:
        anchors: [G, A, D] unit vectors, in groups that do not see each other; gradients
            flow into these only, and only of the loss.
        labels: [G, A] int32 class ids; -1 marks an anchor that does not count.
        banks: [C, M, D] unit vectors and [C, M] bool each, seen by all groups.
        rng: draws the columns and the mixes.
        rule: chooses the examples.
        with_batch: whether the anchors of a group are examples for each other.
        temperature: divides the cosines.
        base_temperature: scales the loss; equal to `temperature` for the paper's.

    Returns:
        As `pixel_contrast`; the hardest negative is a chosen or batch one, not a mix.

    Raises:
        ValueError: if `rule.bank_columns` is less than one a class.
    """
    rule.check_columns(len(banks[0][1]))
    column_rng, pair_rng, row_rng = jax.random.split(rng, 3)
    columns = draw_columns(column_rng, banks, rule.bank_columns)
    anchors = anchors.astype(jnp.float32)
    pairs = None
    if rule.num_mixed_negatives and rule.mix_pairs == "per_class":
        pairs = pairs_of_classes(pair_rng, anchors, labels, columns, rule)
    found = _contrast(
        anchors, labels, columns, pairs, row_rng, rule, with_batch, temperature
    )
    return found.replace(loss=found.loss * (temperature / base_temperature))


def chunk_size(groups: int, num_anchors: int, num_columns: int) -> int:
    """How many anchors of every group are compared with all columns at a time."""
    affordable = BUDGET // (groups * num_columns)
    return max(1, min(CHUNK, num_anchors, affordable))


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
def _contrast(
    anchors: jax.Array,
    labels: jax.Array,
    columns: Columns,
    pairs: Pairs | None,
    rng: jax.Array,
    rule: ExampleRule,
    with_batch: bool,
    temperature: float,
) -> Contrast:
    arguments = (anchors, labels, columns, pairs, rng, rule, with_batch, temperature)
    return _value_and_gradient(*arguments, with_gradient=False)[0]


def _contrast_forward(*arguments):
    return _value_and_gradient(*arguments, with_gradient=True)


def _contrast_backward(rule, with_batch, temperature, gradient, cotangents):
    del rule, with_batch, temperature
    return cotangents.loss * gradient, None, None, None, None


_contrast.defvjp(_contrast_forward, _contrast_backward)


def _value_and_gradient(
    anchors,
    labels,
    columns,
    pairs,
    rng,
    rule,
    with_batch,
    temperature,
    *,
    with_gradient,
) -> tuple[Contrast, jax.Array]:
    """The contrast, and the gradient of its loss by the anchors.

    How much each anchor's loss weighs is known before any is: their number of positives
    depends on labels and on the bank's fill alone.
    """
    groups, num_anchors, _ = anchors.shape
    chunk = chunk_size(groups, num_anchors, columns.filled.size)
    padding = -num_anchors % chunk
    anchors = jnp.pad(anchors, ((0, 0), (0, padding), (0, 0)))
    labels = jnp.pad(labels, ((0, 0), (0, padding)), constant_values=-1)
    counts = _num_positives(labels, columns, rule, with_batch)
    nothing = jnp.zeros(counts.shape)

    def mean(losses: jax.Array) -> jax.Array:
        return average(losses, nothing, counts, nothing, temperature).loss

    weights = jax.grad(mean)(nothing)

    def add_chunk(gradient: jax.Array, start: jax.Array) -> tuple[jax.Array, Any]:
        def compare(anchors: jax.Array) -> tuple[jax.Array, Any]:
            return _compare(
                anchors,
                labels,
                start,
                columns,
                pairs,
                jax.random.fold_in(rng, start),
                chunk=chunk,
                rule=rule,
                with_batch=with_batch,
                temperature=temperature,
            )

        if not with_gradient:
            losses, rest = compare(anchors)
            return gradient, (losses, *rest)
        losses, pull, rest = jax.vjp(compare, anchors, has_aux=True)
        (more,) = pull(jax.lax.dynamic_slice_in_dim(weights, start, chunk, axis=1))
        return gradient + more, (losses, *rest)

    starts = jnp.arange(0, num_anchors + padding, chunk, dtype=jnp.int32)
    gradient = jnp.zeros(anchors.shape if with_gradient else ())
    gradient, found = jax.lax.scan(add_chunk, gradient, starts)
    losses, scores, hardest = (f.swapaxes(0, 1).reshape(groups, -1) for f in found)
    contrast = average(losses, scores, counts, hardest, temperature)
    return contrast, gradient[:, :num_anchors] if with_gradient else gradient


def _compare(
    anchors: jax.Array,
    labels: jax.Array,
    start: jax.Array,
    columns: Columns,
    pairs: Pairs | None,
    rng: jax.Array,
    *,
    chunk: int,
    rule: ExampleRule,
    with_batch: bool,
    temperature: float,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Compares r anchors of every group with all that they are compared with.

    Returns:
        [G, r] sums of losses over positives; sums of the scores with them, and highest
        scores with a negative.
    """
    rows = jax.lax.dynamic_slice_in_dim(anchors, start, chunk, axis=1)
    row_labels = jax.lax.dynamic_slice_in_dim(labels, start, chunk, axis=1)
    num_classes = len(columns.filled)
    scores = products(rows, columns.values) / temperature  # [G, r, C, m]
    own = (row_labels[..., None] == jnp.arange(num_classes))[..., None]

    others = scores.reshape(*row_labels.shape, -1)
    is_other = (columns.filled & ~own).reshape(others.shape)
    negatives = choose(others, is_other, rule.num_negatives, rule)
    lse, hardest = logsumexp(others, negatives.mask)
    lse += jnp.log(negatives.share)
    for mixes, exist in mix_scores(
        rng, rows, row_labels, others, negatives, columns, pairs, rule, temperature
    ):
        mixed, _ = logsumexp(mixes, jnp.broadcast_to(exist[..., None], mixes.shape))
        lse = jnp.logaddexp(lse, mixed)

    # As sums, since only one class is not zero: a gather's gradient would be a scatter.
    same = jnp.sum(jnp.where(own, scores, 0.0), axis=2)  # [G, r, m]
    is_same = jnp.any(own & columns.filled, axis=2)
    positives = choose(-same, is_same, rule.num_positives, rule)
    parts = [(same, positives.mask, positives.share)]
    if with_batch:
        scores = jnp.einsum("grd,gad->gra", rows, anchors) / temperature
        positive, negative = relations(row_labels, labels, first=start)
        batch_lse, batch_hardest = logsumexp(scores, negative)
        lse = jnp.logaddexp(lse, batch_lse)
        hardest = jnp.maximum(hardest, batch_hardest)
        parts.append((scores, positive, jnp.ones(row_labels.shape)))

    losses = positive_scores = jnp.zeros(row_labels.shape)
    for scores, mask, share in parts:
        losses += share * sum_of_losses(lse, scores, mask)
        positive_scores += share * jnp.sum(jnp.where(mask, scores, 0.0), axis=-1)
    return losses, (positive_scores, hardest)


def _num_positives(
    labels: jax.Array, columns: Columns, rule: ExampleRule, with_batch: bool
) -> jax.Array:
    """How many positives each anchor has in the mean, [G, A] float32."""
    length = columns.filled.shape[1]
    filled = jnp.sum(columns.filled, axis=1, dtype=jnp.int32)
    _, _, drawn = ranks(rule, filled, rule.num_positives, length)
    counts = of_labels(drawn, labels)
    if with_batch:
        positive, _ = relations(labels, labels)
        counts += jnp.sum(positive, axis=2, dtype=jnp.float32)
    return counts
