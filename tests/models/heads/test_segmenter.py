"""The mask transformer by itself; `tests/pretrained/keymaps` compares it with torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.vit import ViT
from jaxseg.models.heads.identity import Identity
from jaxseg.models.heads.segmenter import MaskTransformer
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import filled, shapes_of

FEATURES = np.random.default_rng(0).normal(size=(2, 2, 3, 8)).astype(np.float32)
SIZES = dict(width=12, num_heads=3)


@pytest.fixture(scope="module")
def variables():
    return filled(MaskTransformer(**SIZES), FEATURES, (), num_classes=4, train=False)


def run(variables, features=FEATURES, train=False, key=0, **fields):
    """Compiles and applies; the dropout rate is the default 0.1 unless given."""
    model = MaskTransformer(**SIZES, **fields)

    @jax.jit
    def logits(variables, features, key):
        rngs = {"dropout": key}
        return model.apply(variables, features, (), 4, train=train, rngs=rngs)[0]

    return logits(variables, features, jax.random.key(key))


def test_logits_are_normalised_over_the_classes(variables):
    logits = run(variables)
    assert logits.shape == (2, 2, 3, 4)
    np.testing.assert_allclose(np.mean(logits, -1), 0, atol=1e-5)
    np.testing.assert_allclose(np.var(logits, -1), 1, atol=1e-2)


def test_only_training_drops(variables):
    np.testing.assert_array_equal(run(variables), run(variables, key=1))
    kept = run(variables, train=True, dropout=0.0)
    np.testing.assert_allclose(kept, run(variables), atol=1e-6)
    one, other = (run(variables, train=True, key=key) for key in range(2))
    assert np.max(np.abs(one - other)) > 0.01


def test_features_of_nothing_have_finite_gradients(variables):
    """Without any embedding all scores are 0, whose norm has no gradient."""
    projection = jnp.zeros_like(variables["params"]["patch_projection"])
    params = variables["params"] | {"patch_projection": projection}
    gradients = jax.jit(
        jax.grad(lambda params: jnp.sum(run({"params": params})[..., 0]))
    )(params)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))


def test_half_precision_keeps_parameters_and_scores_in_float32():
    backbone = ViT(4, 12, 1, 3, image_grid=(2, 2), dtype="bfloat16")
    decoder = MaskTransformer(**SIZES, dtype="bfloat16")
    model = Segmentor(backbone, Identity(), 4, decoder=decoder, dtype="bfloat16")
    image = jnp.zeros((1, 9, 12, 3))
    shapes = shapes_of(model, image)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    outputs = jax.eval_shape(lambda v: model.apply(v, image, train=False), shapes)
    assert outputs.logits.dtype == outputs.coarse.dtype == jnp.float32
