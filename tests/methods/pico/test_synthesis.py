import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.methods.pico import synthesis
from tests.golden import runner
from tests.golden.checks import pico_examples
from tests.methods.pico.vectors import random_unit

TEMPERATURE = 0.1


def inputs(spread=0.0):
    """Anchors [7, 12], negatives [20, 12], two indices [7, 9] and shares [7, 9].

    The vectors' lengths are between 1 - spread and 1 + spread.
    """
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 20, (2, 7, 9))
    share = jnp.asarray(rng.random((7, 9)), jnp.float32)
    x, negatives = random_unit(rng, 7, 12), random_unit(rng, 20, 12)
    x *= rng.uniform(1 - spread, 1 + spread, (7, 1))
    negatives *= rng.uniform(1 - spread, 1 + spread, (20, 1))
    return x, negatives, first, second, share


LENGTHS = pytest.mark.parametrize("spread", [0.0, 0.004, 0.7])


def built(weight, one, other):
    """The mixes themselves, [7, 9, 12], as constants."""
    mix = weight[..., None] * one + (1 - weight[..., None]) * other
    mix /= jnp.linalg.norm(mix, axis=-1, keepdims=True)
    return jax.lax.stop_gradient(mix)


def weighted_scores(anchors, mixes):
    """A sum of the scores in which each has its own gradient."""
    scores = jnp.einsum("ad,asd->as", anchors, mixes) / TEMPERATURE
    return jnp.sum(jnp.sin(scores))


@LENGTHS
def test_pairs_score_as_if_they_were_built_but_as_constants(spread):
    anchors, negatives, first, second, alpha = inputs(spread)
    squares = jnp.sum(negatives**2, axis=1)
    products = synthesis.products(negatives, first, second, block=3)

    def ours(anchors):
        scores = anchors @ negatives.T / TEMPERATURE
        one, other = (jnp.take_along_axis(scores, i, 1) for i in (first, second))
        lengths = squares[first], squares[second]
        mixed = synthesis.pair_scores(one, other, products, alpha, squares=lengths)
        return jnp.sum(jnp.sin(mixed))

    def theirs(anchors):
        mixes = built(alpha, negatives[first], negatives[second])
        return weighted_scores(anchors, mixes)

    assert_same(ours, theirs, anchors)


@LENGTHS
def test_anchor_mixes_score_as_if_they_were_built_but_as_constants(spread):
    anchors, negatives, member, _, share = inputs(spread)
    beta, squares = share / 2, jnp.sum(negatives**2, axis=1)

    def ours(anchors):
        scores = anchors @ negatives.T / TEMPERATURE
        itself = jnp.sum(anchors * jax.lax.stop_gradient(anchors), -1, keepdims=True)
        mixed = synthesis.anchor_scores(
            itself / TEMPERATURE,
            jnp.take_along_axis(scores, member, axis=1),
            beta,
            temperature=TEMPERATURE,
            squares=squares[member],
        )
        return jnp.sum(jnp.sin(mixed))

    def theirs(anchors):
        mixes = built(beta, anchors[:, None], negatives[member])
        return weighted_scores(anchors, mixes)

    assert_same(ours, theirs, anchors)


def assert_same(ours, theirs, anchors):
    value, grad = jax.jit(jax.value_and_grad(ours))(anchors)
    expected, expected_grad = jax.value_and_grad(theirs)(anchors)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grad, expected_grad, rtol=1e-5, atol=2e-4)


def test_opposite_negatives_mix_to_something_finite():
    mixed = synthesis.pair_scores(*(jnp.asarray([x]) for x in (2.0, -2.0, -1.0, 0.5)))
    np.testing.assert_array_equal(mixed, 0)


def test_rounding_errors_of_opposite_negatives_do_not_become_scores():
    # A product below -1, as rounding gives it, would make a squared length negative.
    scores = jnp.asarray([5.0]), jnp.asarray([-5.0 * (1 + 1e-6)])
    mixed = synthesis.pair_scores(*scores, jnp.asarray([-1.001]), jnp.asarray([0.5]))
    assert np.abs(mixed) < 1 / TEMPERATURE


def test_a_mix_of_nothing_scores_nothing():
    zero = jnp.zeros(1)
    mixed = synthesis.pair_scores(zero, zero, zero, zero, squares=(zero, zero))
    np.testing.assert_array_equal(mixed, 0)


def logsumexp(scores):
    if not scores.shape[1]:
        return jnp.full(len(scores), -1e30)
    return jax.nn.logsumexp(scores, axis=1)


def golden_case(*, num_negatives, spread):
    """The arrays of a case, with values by the definition."""
    rng = np.random.default_rng(4)
    number = min(num_negatives, 6)
    negatives = np.asarray(random_unit(rng, 5, num_negatives, 8))
    negatives = negatives * rng.uniform(
        1 - spread, 1 + spread, (*negatives.shape[:2], 1)
    )
    first = np.broadcast_to(np.arange(number), (5, number))
    case = dict(
        X=random_unit(rng, 5, 8) * np.linspace(1 - spread, 1 + spread, 5)[:, None],
        positives=random_unit(rng, 5, 4, 8),
        negatives=negatives,
        nn_index_a=first,
        nn_index_b=(first + 1) % max(num_negatives, 1),
        alpha=rng.random((5, number)),
        na_index=first,
        beta=rng.random((5, number)) / 2,
        temperature=np.float32(TEMPERATURE),
    )
    case = {
        name: np.asarray(value, np.int32 if "index" in name else np.float32)
        for name, value in case.items()
    }
    one, other = (
        np.take_along_axis(case["negatives"], case[name][..., None], axis=1)
        for name in ("nn_index_a", "nn_index_b")
    )
    x = case["X"][:, None]
    pairs = built(case["alpha"], one, other)
    partners = built(case["beta"], x, one)

    def loss(x, *others):
        others = jnp.concatenate(others, axis=1)
        scores, positives = (
            jnp.einsum("ad,asd->as", x, v) / TEMPERATURE
            for v in (others, case["positives"])
        )
        lse = logsumexp(scores)[:, None]
        return jnp.mean(jax.nn.softplus(lse - positives))

    whole = case["negatives"], pairs, partners
    value, gradient = jax.value_and_grad(loss)(case["X"], *whole)
    return case | dict(
        synth_neg_neg=pairs,
        synth_neg_anchor=partners,
        loss_without_synth=loss(case["X"], case["negatives"]),
        loss=value,
        grad_X=gradient,
    )


@pytest.mark.parametrize(("num_negatives", "spread"), [(0, 0.0), (1, 0.0), (9, 0.6)])
def test_golden_cases_of_no_negative_and_of_any_lengths_pass(
    tmp_path, num_negatives, spread
):
    path = tmp_path / "synthesis_99.npz"
    np.savez(path, **golden_case(num_negatives=num_negatives, spread=spread))
    result = runner.run(path, {"synthesis": pico_examples.synthesis})
    assert result.passed, result.failure


def test_pairs_are_of_different_members_and_uniform():
    count = jnp.full((1,), 5)
    draws = synthesis.draw_pairs(jax.random.key(0), count, 20_000)
    pairs = np.zeros((5, 5))
    np.add.at(pairs, (np.asarray(draws.first), np.asarray(draws.second)), 1)
    assert not np.diag(pairs).any()
    others = pairs[~np.eye(5, dtype=bool)]
    assert np.sum((others - 1_000) ** 2 / 1_000) < 43.8  # 0.999 of 19 degrees


def test_sets_of_less_than_two_draw_inside_the_row():
    draws = synthesis.draw_pairs(jax.random.key(0), jnp.asarray([0, 1, 2]), 50)
    for ranks in (draws.first, draws.second):
        assert np.all(ranks >= 0) and np.all(ranks[:2] == 0) and np.all(ranks[2] < 2)


def test_the_negative_dominates_its_mix_with_the_anchor():
    _, beta = synthesis.draw_partners(jax.random.key(0), jnp.full(3, 7), 1_000)
    assert np.all(beta >= 0)
    assert 0.49 < beta.max() < 0.5


def test_vectors_of_all_pairs_are_never_there_at_once():
    values = jax.ShapeDtypeStruct((1_000, 64), jnp.float32)
    index = jax.ShapeDtypeStruct((256, 128), jnp.int32)
    compiled = jax.jit(synthesis.products).lower(values, index, index).compile()
    vectors = 256 * 128 * 64 * 4
    assert compiled.memory_analysis().temp_size_in_bytes < vectors / 4
