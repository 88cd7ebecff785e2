import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.methods.pico import synthesis

TEMPERATURE = 0.1


def unit(rng, *shape):
    values = rng.normal(size=shape)
    values /= np.linalg.norm(values, axis=-1, keepdims=True)
    return jnp.asarray(values, jnp.float32)


def inputs():
    """Anchors [7, 12], negatives [20, 12], two indices [7, 9] and shares [7, 9]."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 20, (2, 7, 9))
    share = jnp.asarray(rng.random((7, 9)), jnp.float32)
    return unit(rng, 7, 12), unit(rng, 20, 12), first, second, share


def built(weight, one, other):
    """The mixes themselves, [7, 9, 12], as constants."""
    mix = weight[..., None] * one + (1 - weight[..., None]) * other
    mix /= jnp.linalg.norm(mix, axis=-1, keepdims=True)
    return jax.lax.stop_gradient(mix)


def weighted_scores(anchors, mixes):
    """A sum of the scores in which each has its own gradient."""
    scores = jnp.einsum("ad,asd->as", anchors, mixes) / TEMPERATURE
    return jnp.sum(jnp.sin(scores))


def test_pairs_score_as_if_they_were_built_but_as_constants():
    anchors, negatives, first, second, alpha = inputs()
    cosines = synthesis.cosines(negatives, first, second, block=3)

    def ours(anchors):
        scores = anchors @ negatives.T / TEMPERATURE
        one, other = (jnp.take_along_axis(scores, i, 1) for i in (first, second))
        mixed = synthesis.pair_scores(one, other, cosines, alpha)
        return jnp.sum(jnp.sin(mixed))

    def theirs(anchors):
        mixes = built(alpha, negatives[first], negatives[second])
        return weighted_scores(anchors, mixes)

    assert_same(ours, theirs, anchors)


def test_anchor_mixes_score_as_if_they_were_built_but_as_constants():
    anchors, negatives, member, _, share = inputs()
    beta = share / 2

    def ours(anchors):
        scores = anchors @ negatives.T / TEMPERATURE
        itself = jnp.sum(anchors * jax.lax.stop_gradient(anchors), -1, keepdims=True)
        mixed = synthesis.anchor_scores(
            itself / TEMPERATURE,
            jnp.take_along_axis(scores, member, axis=1),
            beta,
            temperature=TEMPERATURE,
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
    compiled = jax.jit(synthesis.cosines).lower(values, index, index).compile()
    vectors = 256 * 128 * 64 * 4
    assert compiled.memory_analysis().temp_size_in_bytes < vectors / 4
