import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.text.clip import ClipText, quick_gelu
from tests.models.fill import filled

TINY = ClipText(16, 2, 2, 8, context_length=6, vocabulary=11)


@pytest.fixture(scope="module")
def variables():
    return filled(TINY, jnp.zeros((1, 6), jnp.int32))


def features(variables, *rows):
    return np.asarray(TINY.apply(variables, jnp.asarray(rows)))


def test_what_stands_after_the_end_does_not_count(variables):
    a, b = features(variables, [9, 3, 10, 0, 0, 0], [9, 3, 10, 7, 2, 5])
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_what_stands_before_the_end_counts_in_its_order(variables):
    a, b = features(variables, [9, 3, 4, 10, 0, 0], [9, 4, 3, 10, 0, 0])
    assert np.max(np.abs(a - b)) > 1e-3


def test_short_rows_need_no_padding(variables):
    padded = features(variables, [9, 3, 10, 0, 0, 0])
    np.testing.assert_allclose(features(variables, [9, 3, 10]), padded, atol=1e-6)


def test_too_long_texts_are_named(variables):
    with pytest.raises(ValueError, match="texts of 7 tokens, and the context is 6"):
        features(variables, range(7))


def test_quick_gelu_by_hand():
    np.testing.assert_allclose(
        quick_gelu(jnp.asarray([0.0, 1.0, -1.0])), [0, 0.845796, -0.154204], atol=1e-5
    )


def test_half_precision_gives_float32_features():
    tokens = jnp.zeros((1, 6), jnp.int32)
    half = TINY.clone(dtype="bfloat16")
    variables = jax.eval_shape(half.init, jax.random.key(0), tokens)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert jax.eval_shape(half.apply, variables, tokens).dtype == jnp.float32


@pytest.mark.parametrize(
    "model, count",
    [
        (ClipText(), 63_428_096),
        (ClipText(768, 12, 12, 768), 123_650_304),
    ],
    ids=["vit_b", "vit_l"],
)
def test_parameter_counts_are_the_published_ones(model, count):
    """Of the text towers of transformers' CLIPTextModelWithProjection."""
    tokens = jnp.zeros((1, 77), jnp.int32)
    params = jax.eval_shape(model.init, jax.random.key(0), tokens)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count
