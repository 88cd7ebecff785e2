"""Scores of synthetic negatives, mixed of what an anchor is compared with.

`synthesis` has the formulas; here the negatives are drawn that they are used on.
"""

import jax
import jax.numpy as jnp
from flax import struct

from jaxseg.methods.pico import synthesis
from jaxseg.methods.pico.choice import Choice, Columns, choose, products
from jaxseg.methods.pico.rule import ExampleRule
from jaxseg.ops.selection import nth_true


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


def mix_scores(
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


def pairs_of_classes(
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
        scores = products(sums[:, None], columns.values).reshape(len(sums), -1)
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
