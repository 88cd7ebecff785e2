import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import sharding
from jaxseg.methods.pico import chosen, examples
from jaxseg.methods.pico.chosen import chosen_contrast
from jaxseg.methods.pico.loss import pixel_contrast
from jaxseg.methods.pico.rule import MIX_PAIRS, ExampleRule
from tests.methods.pico.vectors import random_unit

TEMPERATURES = dict(temperature=0.2, base_temperature=0.1)
NO_MIXES = dict(num_mixed_negatives=0, num_anchor_mixes=0)


def random_inputs(case="random"):
    """Anchors [2, 17, 6], labels [2, 17] of which some are -1, and two banks."""
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 4, (2, 17))
    shares = {"empty bank": (0, 0), "full": (1, 1), "empty region": (0, 0.7)}
    filled = [
        rng.random((4, length)) < share
        for length, share in zip((9, 30), shares.get(case, (0.5, 0.7)), strict=True)
    ]
    if case == "one class":  # no negative in the bank
        labels[:], filled = (
            2,
            [there & (np.arange(4) == 2)[:, None] for there in filled],
        )
    if case == "no anchor":
        labels[:] = -1
    if case == "no positive":
        filled = [there & (np.arange(4) == 1)[:, None] for there in filled]
        labels[labels == 1] = 0
    banks = [
        (random_unit(rng, *there.shape, 6), jnp.asarray(there)) for there in filled
    ]
    return random_unit(rng, 2, 17, 6), jnp.asarray(labels, jnp.int32), banks


CASES = [
    "random",
    "empty bank",
    "full",
    "empty region",
    "one class",
    "no anchor",
    "no positive",
]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Which divide nothing; the compiled functions are shared by all tests."""
    monkeypatch.setattr(chosen, "CHUNK", 5)


def contrast(anchors, labels, banks, rule, with_batch=True, compiled=None):
    """The contrast, and the gradient of its loss."""
    function = (compiled or compile_once)(rule, with_batch)
    gradient, found = function(anchors, labels, banks, jax.random.key(0))
    return found, gradient


def compile_anew(rule, with_batch):
    def loss(anchors, labels, banks, rng):
        options = dict(rule=rule, with_batch=with_batch, **TEMPERATURES)
        found = chosen_contrast(anchors, labels, banks, rng, **options)
        return found.loss, found

    return jax.jit(jax.grad(loss, has_aux=True))


compile_once = functools.cache(compile_anew)


def ranks(rule, count, size):
    """First and last rank of a set of `count` candidates, and how many it draws."""
    first, last = 0, count
    if rule.mode == "hardest":
        last = min(count, size)
    elif rule.mode == "semi_hard":
        first, last = (math.ceil(share * count - 1e-6) for share in rule.band)
    drawn = last - first
    return first, last, drawn if rule.mode == "all" else min(drawn, size)


def in_expectation(anchors, labels, banks, rule, with_batch, choose):
    """Loss and number of anchors by loops over anchors and sets, in float64.

    `choose(hardness, count)` gives the members of a set and the weight of each.
    """
    entries = np.concatenate([np.asarray(v, np.float64) for v, _ in banks], axis=1)
    filled = np.concatenate([np.asarray(there) for _, there in banks], axis=1)
    of_class = np.broadcast_to(np.arange(len(filled))[:, None], filled.shape)[filled]
    entries, tau = entries[filled], TEMPERATURES["temperature"]
    groups, total = [], 0
    for x, y in zip(np.float64(anchors), np.asarray(labels), strict=True):
        losses = []
        for i in np.flatnonzero(y >= 0):
            scores, same = entries @ x[i] / tau, of_class == y[i]
            pos, pos_weight = choose(-scores[same], rule.num_positives)
            neg, neg_weight = choose(scores[~same], rule.num_negatives)
            positives, negatives = list(-pos), list(neg + np.log(neg_weight))
            weights = [pos_weight] * len(pos)
            if with_batch:
                others = (y >= 0) & (np.arange(len(y)) != i)
                batch = x @ x[i] / tau
                more = batch[others & (y == y[i])]
                positives, weights = [*positives, *more], weights + [1.0] * len(more)
                negatives += list(batch[others & (y != y[i])])
            if not positives:
                continue
            lse = np.logaddexp.reduce(negatives) if negatives else -np.inf
            terms = np.logaddexp(positives, lse) - positives
            losses.append(np.sum(weights * terms) / np.sum(weights))
        total += len(losses)
        groups += [np.mean(losses)] if losses else []
    scale = tau / TEMPERATURES["base_temperature"]
    return scale * np.mean(groups) if groups else 0.0, total


def chosen_sets(rule):
    """Whole sets, each member with the probability that it is drawn."""

    def choose(hardness, size):
        first, last, drawn = ranks(rule, len(hardness), size)
        members = -np.sort(-hardness)[first:last]
        return members, max(drawn, 1) / max(len(members), 1)

    return choose


RULES = [
    ExampleRule(mode="all", **NO_MIXES),
    ExampleRule(mode="random", num_positives=3, num_negatives=7, **NO_MIXES),
    ExampleRule(mode="hardest", num_positives=3, num_negatives=7, **NO_MIXES),
    ExampleRule(semi_hard_fraction=0.3, num_positives=2, num_negatives=5, **NO_MIXES),
    ExampleRule(semi_hard_band=(0.2, 0.7), num_negatives=5, **NO_MIXES),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.mode}{rule.band}")
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_loop_over_anchors(case, rule):
    inputs = random_inputs(case)
    for with_batch in (True, False):
        loss, count = in_expectation(*inputs, rule, with_batch, chosen_sets(rule))
        ours, gradient = contrast(*inputs, rule, with_batch=with_batch)
        np.testing.assert_allclose(ours.loss, loss, rtol=1e-5, atol=1e-6)
        assert ours.num_anchors == count
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("mode", ["all", "random"])
@pytest.mark.parametrize("case", CASES)
def test_with_all_examples_it_is_the_pixel_contrast(case, mode):
    anchors, labels, banks = random_inputs(case)
    rule = ExampleRule(mode=mode, **NO_MIXES)

    def plain(anchors):
        found = pixel_contrast(anchors, labels, banks, **TEMPERATURES)
        return found.loss, found

    expected_gradient, expected = jax.jit(jax.grad(plain, has_aux=True))(anchors)
    found, gradient = contrast(anchors, labels, banks, rule)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5),
        (found, gradient),
        (expected, expected_gradient),
    )


def test_the_expectation_is_the_mean_over_draws():
    anchors, labels, banks = random_inputs("full")
    rule = ExampleRule(
        semi_hard_fraction=0.5, num_positives=6, num_negatives=30, **NO_MIXES
    )
    rng = np.random.default_rng(2)

    def one_draw(hardness, size):
        keys = rng.random(len(hardness))
        there = jnp.ones(len(hardness), bool)
        slots = examples.semi_hard(
            jnp.asarray(hardness), jnp.asarray(keys), there, size, band=rule.band
        )
        return hardness[np.asarray(slots)[np.asarray(slots) >= 0]], 1.0

    few = (anchors[:1, :4], labels[:1, :4], banks)
    draws = [
        in_expectation(*few, rule, with_batch=False, choose=one_draw)[0]
        for _ in range(20)
    ]
    ours, _ = contrast(*few, rule, with_batch=False)
    # Jensen's inequality puts the mean below, by less than the scatter of a draw.
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(ours.loss - np.mean(draws)) < 4 * error + 0.01 * np.mean(draws)


@pytest.mark.parametrize("rule", RULES[1:4], ids=lambda rule: rule.mode)
def test_a_bank_in_bfloat16_is_the_loop_over_rounded_numbers(rule):
    anchors, labels, banks = random_inputs()
    banks = [(values.astype(jnp.bfloat16), filled) for values, filled in banks]
    anchors = anchors.astype(jnp.bfloat16).astype(jnp.float32)
    inputs = anchors, labels, banks
    for with_batch in (True, False):
        loss, count = in_expectation(*inputs, rule, with_batch, chosen_sets(rule))
        ours, gradient = contrast(*inputs, rule, with_batch=with_batch)
        np.testing.assert_allclose(ours.loss, loss, rtol=1e-5)
        assert ours.num_anchors == count and ours.loss.dtype == jnp.float32
        assert gradient.dtype == jnp.float32 and np.all(np.isfinite(gradient))


def test_few_anchors_at_a_time_are_compared_with_very_many_columns(monkeypatch):
    monkeypatch.setattr(chosen, "CHUNK", 64)
    assert chosen.chunk_size(4, 1024, 40_000) == 64
    assert chosen.chunk_size(4, 10, 40_000) == 10
    assert chosen.chunk_size(4, 1024, 621_775) == 13
    assert chosen.chunk_size(8, 1024, 10**9) == 1


def test_chunks_of_other_sizes_give_the_same(monkeypatch):
    inputs = random_inputs()
    expected, expected_gradient = contrast(*inputs, RULES[2])
    monkeypatch.setattr(chosen, "BUDGET", 2 * 4 * 39 * 3)  # three anchors a group
    found, gradient = contrast(*inputs, RULES[2], compiled=compile_anew)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


@pytest.mark.slow
def test_jit_equals_eager():
    anchors, labels, banks = random_inputs()
    inputs = (anchors[:, :5], labels[:, :5], banks)
    options = dict(rule=RULES[3], with_batch=True, **TEMPERATURES)
    found, _ = contrast(*inputs, RULES[3])
    eager = chosen_contrast(*inputs, jax.random.key(0), **options)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-5), found, eager)


@pytest.mark.parametrize("mix_pairs", MIX_PAIRS)
def test_one_device_and_eight_agree(mix_pairs):
    rng = np.random.default_rng(3)
    anchors, labels = (
        random_unit(rng, 8, 6, 6),
        jnp.asarray(rng.integers(-1, 4, (8, 6))),
    )
    banks = [(random_unit(rng, 4, 32, 6), jnp.ones((4, 32), bool))]
    rule = ExampleRule(bank_columns=64, mix_pairs=mix_pairs, semi_hard_fraction=0.5)
    expected, expected_gradient = contrast(anchors, labels, banks, rule)
    mesh = sharding.make_mesh(8)
    split = sharding.batched(mesh)
    with jax.set_mesh(mesh):
        found, gradient = contrast(
            *jax.device_put((anchors, labels), split), banks, rule
        )
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)


def test_gradients_reach_the_anchors_only():
    anchors, labels, banks = random_inputs()
    (values, filled), *rest = banks

    def loss(values):
        return chosen_contrast(
            anchors,
            labels,
            [(values, filled), *rest],
            jax.random.key(0),
            rule=ExampleRule(bank_columns=40),
            with_batch=True,
            **TEMPERATURES,
        ).loss

    assert not np.any(jax.grad(loss)(values))


def test_less_than_a_column_a_class_is_an_error():
    anchors, labels, banks = random_inputs()
    with pytest.raises(ValueError, match="bank_columns is 3 for 4 classes"):
        contrast(anchors, labels, banks, ExampleRule(bank_columns=3))


@pytest.mark.slow
@pytest.mark.parametrize("mix_pairs", MIX_PAIRS)
def test_no_matrix_of_anchors_and_columns_is_stored(mix_pairs, monkeypatch):
    monkeypatch.setattr(chosen, "CHUNK", 64)
    shapes = [(1, 512, 32), (1, 512), (8, 1_000, 32)]
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    rule = ExampleRule(num_mixed_negatives=256, mix_pairs=mix_pairs)

    def loss(anchors, labels, bank):
        labels = labels.astype(jnp.int32)
        banks = [(bank, jnp.ones(bank.shape[:2], bool))]
        options = dict(rule=rule, with_batch=True, **TEMPERATURES)
        return chosen_contrast(
            anchors, labels, banks, jax.random.key(0), **options
        ).loss

    compiled = jax.jit(jax.grad(loss)).lower(*arrays).compile()
    stored = compiled.memory_analysis().temp_size_in_bytes
    assert stored < 4 * 512 * 8_000  # and so less than 512 x 256 x 32 floats
