"""Contrast with chosen examples of a bank and with synthetic negatives.

Read `chosen_contrast` first, then `_compare`, which is the method; `examples` has the
exact definition of the choices, `synthesis` the mixes.

What makes it fast enough for 1024 anchors and 40 000 columns: a set of hardest examples
is a threshold, not a sort; a random draw from a set is taken in expectation, which uses
the whole set and scales its sum by the share that would be drawn; a few anchors of
every group are compared at a time, and their gradient is found at once, so that no
matrix of anchors times columns outlives its turn.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxseg import sharding
from jaxseg.methods.pico import synthesis
from jaxseg.methods.pico.examples import set_size
from jaxseg.methods.pico.loss import Bank, Contrast, average, logsumexp, relations
from jaxseg.methods.pico.rule import ExampleRule
from jaxseg.ops.selection import kth_largest, nth_true

# Anchors of every group that are compared with all columns at a time.
CHUNK = 64


class Columns(struct.PyTreeNode):
    """What of the bank a step looks at.

    Attributes:
        values: [C, m, D].
        filled: [C, m] bool, which of them there are.
        squares: [C, m] float32, squared lengths, near 1 where there are any.
    """

    values: jax.Array
    filled: jax.Array
    squares: jax.Array


class Pairs(struct.PyTreeNode):
    """Pairs of negatives to be mixed, among the columns C m.

    Attributes:
        first: [..., s] int32.
        second: [..., s] int32, another one.
        alpha: [..., s] float32, share of the first.
        products: [..., s] float32, of the two.
        squares: [..., s] float32 each, their squared lengths.
        exist: [...] bool, whether there are two to be mixed.
    """

    first: jax.Array
    second: jax.Array
    alpha: jax.Array
    products: jax.Array
    squares: tuple[jax.Array, jax.Array]
    exist: jax.Array


class Choice(struct.PyTreeNode):
    """A set of examples, and how many of it are drawn in expectation.

    Attributes:
        mask: [..., N] bool, the set.
        count: [...] int32, its size.
        drawn: [...] int32, how many would be drawn of it without replacement.
    """

    mask: jax.Array
    count: jax.Array
    drawn: jax.Array

    @property
    def share(self) -> jax.Array:
        """The probability of each member to be drawn, [...]; 1 for the empty set."""
        return jnp.where(self.count > 0, self.drawn / jnp.maximum(self.count, 1), 1.0)


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
    by the mean over the set. The draw itself would only add noise. Members that tie
    with the last one of a set of hardest all belong to it, with their share.

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
        pairs = _pairs_of_classes(pair_rng, anchors, labels, columns, rule)
    found = _contrast(
        anchors, labels, columns, pairs, row_rng, rule, with_batch, temperature
    )
    return found.replace(loss=found.loss * (temperature / base_temperature))


def sum_of_losses(lse: jax.Array, scores: jax.Array, mask: jax.Array) -> jax.Array:
    """Sums -log( e^s_ip / (e^s_ip + e^lse_i) ) over the positives p of every anchor.

    Args:
        lse: [...] log-sum-exp of the anchor's scores with its negatives.
        scores: [..., P] its scores with others.
        mask: [..., P] bool, which of them are positives.
    """
    # log(1 + e^(lse - s)) in this form neither overflows nor takes log 0.
    losses = jax.nn.softplus(lse[..., None] - scores)
    return jnp.sum(jnp.where(mask, losses, 0.0), axis=-1)


def draw_columns(rng: jax.Array, banks: Sequence[Bank], num_columns: int) -> Columns:
    """Draws filled slots of every class, uniformly without replacement.

    Args:
        rng: of the draw.
        banks: [C, M, D] and [C, M] bool each; their slots are drawn from together.
        num_columns: of all classes, rounded down to equally many of each; 0 for all.

    Returns:
        The drawn slots first, in the banks' order, then unfilled ones for a class that
        has fewer.
    """
    filled = jnp.concatenate([there for _, there in banks], axis=1)
    num_classes, length = filled.shape
    size = num_columns // num_classes
    if not num_columns or size >= length:
        return _columns(jnp.concatenate([v for v, _ in banks], axis=1), filled)

    keys = jnp.where(filled, jax.random.uniform(rng, filled.shape), -1.0)
    count = jnp.sum(filled, axis=1, dtype=jnp.int32)
    threshold = kth_largest(keys, jnp.minimum(count, size))
    rank = jnp.arange(size, dtype=jnp.int32)
    drawn = filled & (keys >= threshold[:, None])
    slots = nth_true(drawn, jnp.broadcast_to(rank, (num_classes, size)))
    values, start = jnp.zeros((), banks[0][0].dtype), 0
    for bank, there in banks:
        inside = jnp.clip(slots - start, 0, there.shape[1] - 1)
        entries = jnp.take_along_axis(bank, inside[..., None], axis=1)
        values = jnp.where((slots >= start)[..., None], entries, values)
        start += there.shape[1]
    # Only what was drawn of a bank that is split over devices travels between them.
    return _columns(*sharding.replicate((values, rank < count[:, None])))


def _columns(values: jax.Array, filled: jax.Array) -> Columns:
    squares = jnp.einsum(
        "cmd,cmd->cm", values, values, preferred_element_type=jnp.float32
    )
    return Columns(values=values, filled=filled, squares=squares)


def choose(
    hardness: jax.Array, candidates: jax.Array, num_chosen: int, rule: ExampleRule
) -> Choice:
    """The set that a rule chooses from, of every anchor.

    Args:
        hardness: [..., N] float32, similarity for negatives, its opposite for
            positives.
        candidates: [..., N] bool.
        num_chosen: K, how many are drawn of the set.
        rule: `mode` and the share of semi_hard are read.
    """
    num_candidates = jnp.sum(candidates, axis=-1, dtype=jnp.int32)
    first, last, drawn = _ranks(rule, num_candidates, num_chosen, candidates.shape[-1])
    mask = candidates
    if rule.mode in ("hardest", "semi_hard"):
        hardness = jnp.where(candidates, jax.lax.stop_gradient(hardness), -jnp.inf)
        mask &= hardness >= kth_largest(hardness, last)[..., None]
        if rule.mode == "semi_hard" and rule.band[0] > 0:
            mask &= hardness <= kth_largest(hardness, first + 1)[..., None]
        mask &= (drawn > 0)[..., None]
    count = jnp.sum(mask, axis=-1, dtype=jnp.int32)
    return Choice(mask=mask, count=count, drawn=drawn)


def _ranks(
    rule: ExampleRule, num_candidates: jax.Array, num_chosen: int, most: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """From which rank of hardness to which a set reaches, and how many are drawn."""
    first, last = jnp.zeros_like(num_candidates), num_candidates
    if rule.mode == "semi_hard":
        first, last = (set_size(share, num_candidates, most) for share in rule.band)
    elif rule.mode == "hardest":
        last = jnp.minimum(last, num_chosen)
    drawn = last - first
    return first, last, drawn if rule.mode == "all" else jnp.minimum(drawn, num_chosen)


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
    chunk = min(CHUNK, num_anchors)
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
    scores = _products(rows, columns.values) / temperature  # [G, r, C, m]
    own = (row_labels[..., None] == jnp.arange(num_classes))[..., None]

    others = scores.reshape(*row_labels.shape, -1)
    is_other = (columns.filled & ~own).reshape(others.shape)
    negatives = choose(others, is_other, rule.num_negatives, rule)
    lse, hardest = logsumexp(others, negatives.mask)
    lse += jnp.log(negatives.share)
    for mixes, exist in _mixes(
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


def _mixes(
    rng: jax.Array,
    rows: jax.Array,
    labels: jax.Array,
    scores: jax.Array,
    negatives: Choice,
    columns: Columns,
    pairs: Pairs | None,
    rule: ExampleRule,
    temperature: float,
) -> list[tuple[jax.Array, jax.Array]]:
    """Scores of synthetic negatives [G, r, s], and whether there are any [G, r]."""
    pair_rng, partner_rng = jax.random.split(rng)
    mixes = []
    if rule.num_mixed_negatives:
        if pairs is None:
            pairs = _draw_pairs(pair_rng, negatives, columns, rule)
        else:
            pairs = _of_label(pairs, labels)
        first, second = (
            jnp.take_along_axis(scores, at, axis=-1)
            for at in (pairs.first, pairs.second)
        )
        mixed = synthesis.pair_scores(
            first, second, pairs.products, pairs.alpha, squares=pairs.squares
        )
        mixes.append((mixed, pairs.exist))
    if rule.num_anchor_mixes:
        ranks, beta = synthesis.draw_partners(
            partner_rng, negatives.count, rule.num_anchor_mixes
        )
        members = nth_true(negatives.mask, ranks)
        # As the bank's dtype has it, in which it is compared.
        x = rows.astype(columns.values.dtype).astype(jnp.float32)
        itself = jnp.sum(x * jax.lax.stop_gradient(x), axis=-1, keepdims=True)
        mixed = synthesis.anchor_scores(
            itself / temperature,
            jnp.take_along_axis(scores, members, axis=-1),
            beta,
            temperature=temperature,
            squares=columns.squares.reshape(-1)[members],
        )
        mixes.append((mixed, negatives.count > 0))
    return mixes


def _draw_pairs(
    rng: jax.Array, negatives: Choice, columns: Columns, rule: ExampleRule
) -> Pairs:
    """Pairs of the negatives [..., C m] of each anchor or class."""
    size = rule.num_mixed_negatives
    draws = synthesis.draw_pairs(rng, negatives.count, size)
    ranks = jnp.concatenate([draws.first, draws.second], axis=-1)
    members = nth_true(negatives.mask, ranks)
    first, second = members[..., :size], members[..., size:]
    values = columns.values.reshape(-1, columns.values.shape[-1])
    products = synthesis.products(
        values, first.reshape(-1, size), second.reshape(-1, size)
    )
    squares = columns.squares.reshape(-1)
    return Pairs(
        first=first,
        second=second,
        alpha=draws.alpha,
        products=products.reshape(first.shape),
        squares=(squares[first], squares[second]),
        exist=negatives.count > 1,
    )


def _pairs_of_classes(
    rng: jax.Array,
    anchors: jax.Array,
    labels: jax.Array,
    columns: Columns,
    rule: ExampleRule,
) -> Pairs:
    """Pairs [G, C, s] of the negatives of the mean anchor of every class."""
    num_classes = len(columns.filled)
    member = jax.nn.one_hot(labels, num_classes)
    sums = jnp.einsum("gac,gad->cgd", member, jax.lax.stop_gradient(anchors))

    def of_class(inputs: tuple[jax.Array, jax.Array]) -> Pairs:
        class_id, sums = inputs
        scores = _products(sums[:, None], columns.values).reshape(len(sums), -1)
        others = jnp.arange(num_classes) != class_id
        candidates = (columns.filled & others[:, None]).reshape(-1)
        candidates = jnp.broadcast_to(candidates, scores.shape)
        negatives = choose(scores, candidates, rule.num_negatives, rule)
        return _draw_pairs(jax.random.fold_in(rng, class_id), negatives, columns, rule)

    inputs = (jnp.arange(num_classes), sums)
    pairs = jax.lax.map(of_class, inputs)
    return jax.tree.map(lambda x: x.swapaxes(0, 1), pairs)


def _of_label(pairs: Pairs, labels: jax.Array) -> Pairs:
    """What each anchor [G, r] shares with its class."""
    at = jnp.maximum(labels, 0)
    return jax.tree.map(
        jax.vmap(lambda x, i: x[i]), pairs, jax.tree.map(lambda _: at, pairs)
    )


def _num_positives(
    labels: jax.Array, columns: Columns, rule: ExampleRule, with_batch: bool
) -> jax.Array:
    """How many positives each anchor has in the mean, [G, A] float32."""
    num_classes, length = columns.filled.shape
    filled = jnp.sum(columns.filled, axis=1, dtype=jnp.int32)
    _, _, drawn = _ranks(rule, filled, rule.num_positives, length)
    inside = (labels >= 0) & (labels < num_classes)
    counts = jnp.where(inside, drawn[jnp.where(inside, labels, 0)], 0)
    if with_batch:
        same = labels[:, :, None] == labels[:, None, :]
        counts += jnp.sum(same, axis=2) - 1
    return jnp.where(labels >= 0, counts, 0).astype(jnp.float32)


def _products(rows: jax.Array, values: jax.Array) -> jax.Array:
    """[G, r, D] times [C, m, D]: [G, r, C, m], in the values' dtype, float32 sums."""
    return jnp.einsum(
        "grd,cmd->grcm",
        rows.astype(values.dtype),
        values,
        preferred_element_type=jnp.float32,
    )
