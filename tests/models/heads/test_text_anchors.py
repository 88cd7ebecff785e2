"""Similarities to texts against loops, and what a decoder of them keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.heads.text_anchors import SCALES, TextAnchors, text_logits


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 3, 4, 8)).astype(np.float32)
    return features, rng.normal(size=(5, 8)).astype(np.float32)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_logit_is_the_scaled_similarity(drawn, similarity):
    features, texts = drawn
    wanted = np.zeros((2, 3, 4, 5))
    for b, i, j, c in np.ndindex(wanted.shape):
        f, t = features[b, i, j].astype(np.float64), texts[c].astype(np.float64)
        lengths = np.linalg.norm(f) * np.linalg.norm(t)
        wanted[b, i, j, c] = 3 * (f @ t) / (lengths if similarity == "cosine" else 1)
    for compiled in (False, True):
        compare = jax.jit(text_logits, static_argnames="similarity")
        ours = (compare if compiled else text_logits)(
            features, texts, similarity=similarity, scale=3.0
        )
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-5)


def test_cosines_do_not_depend_on_lengths(drawn):
    features, texts = drawn
    np.testing.assert_allclose(
        text_logits(7 * features, 0.1 * texts), text_logits(*drawn), rtol=1e-5
    )


def test_features_of_zeros_have_no_logit_and_no_gradient(drawn):
    features, texts = drawn

    def total(features):
        return jnp.sum(text_logits(features, texts) ** 2)

    gradient = jax.grad(total)(jnp.zeros_like(features))
    assert (gradient == 0).all()
    assert (text_logits(jnp.zeros_like(features), texts) == 0).all()


def decoded(drawn, **fields):
    features, texts = drawn
    decoder = TextAnchors(**fields)
    variables = decoder.init(jax.random.key(0), features, (), len(texts), train=True)
    params = {**variables["params"], "class_vectors": jnp.asarray(texts.T)}
    logits, queries = decoder.apply(
        {"params": params}, features, (), len(texts), train=True
    )
    assert queries is None
    return logits, params


def test_a_learnt_scale_begins_where_it_is_told_and_stays_in_its_limits(drawn):
    fixed, params = decoded(drawn, scale=20.0)
    assert params.keys() == {"class_vectors"}
    learnt, params = decoded(drawn, scale=20.0, learn_scale=True)
    np.testing.assert_allclose(learnt, fixed, rtol=1e-5)
    assert params["log_scale"] == pytest.approx(np.log(20), abs=1e-6)
    beyond, _ = decoded(drawn, scale=1000.0, learn_scale=True)
    cosines = fixed / 20
    np.testing.assert_allclose(beyond, SCALES[1] * cosines, rtol=1e-4, atol=1e-5)


def test_centred_texts_sum_to_nothing_before_they_are_compared(drawn):
    features, texts = drawn
    ours, _ = decoded(drawn, center_text=True, similarity="dot", scale=1.0)
    wanted = np.einsum("bhwd,ed->bhwe", features, texts - texts.mean(axis=0))
    np.testing.assert_allclose(ours, wanted, atol=1e-5)
    np.testing.assert_allclose(ours.sum(axis=-1), 0, atol=1e-4)


def test_what_cannot_be_compared_is_refused(drawn):
    features, texts = drawn
    with pytest.raises(ValueError, match="8 channels .* texts of 7 numbers"):
        text_logits(features, texts[:, :7])
    with pytest.raises(ValueError, match="got 'euclid'"):
        text_logits(features, texts, similarity="euclid")
