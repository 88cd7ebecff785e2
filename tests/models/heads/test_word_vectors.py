import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.heads.deeplabv2 import DeepLabV2
from jaxseg.models.heads.word_vectors import WordVectorClassifier
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import shapes_of


def logits_of(features, vectors, dtype="float32"):
    variables = {"params": {"class_vectors": jnp.asarray(vectors)}}
    decoder = WordVectorClassifier(dtype)
    logits, queries = decoder.apply(
        variables, features, (), vectors.shape[1], train=True
    )
    assert queries is None
    return logits


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 3, 4, 8)).astype(np.float32)
    return features, rng.normal(size=(8, 5)).astype(np.float32)


def test_a_logit_is_the_product_with_the_word_vector(drawn):
    features, vectors = drawn
    wanted = np.zeros((2, 3, 4, 5))
    for b, i, j, c in np.ndindex(wanted.shape):
        wanted[b, i, j, c] = sum(features[b, i, j] * vectors[:, c])
    np.testing.assert_allclose(logits_of(*drawn), wanted, atol=1e-5)


def test_compiled_or_not_is_the_same(drawn):
    np.testing.assert_allclose(jax.jit(logits_of)(*drawn), logits_of(*drawn), atol=1e-6)


def test_logits_are_float32_whatever_the_factors(drawn):
    logits = logits_of(*drawn, dtype="bfloat16")
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, logits_of(*drawn), atol=0.2)


def test_the_vectors_are_all_that_a_segmentor_has_beside_backbone_and_head():
    model = Segmentor(
        Tiny((4, 8), (0, 0)), DeepLabV2(features=6), 5, WordVectorClassifier()
    )
    params = shapes_of(model, jnp.zeros((1, 16, 16, 3)))["params"]
    assert set(params) == {"backbone", "head", "decoder"}
    assert params["decoder"]["class_vectors"].shape == (6, 5)
