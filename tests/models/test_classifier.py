import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.classifier import ImageClassifier
from jaxseg.models.layers import ConvNorm
from tests.models.fill import filled

SMALL = Tiny((4, 8), (1, 1))


def test_is_a_linear_map_of_the_last_stages_mean():
    model = ImageClassifier(SMALL, num_classes=5, mean=(0.0,) * 3, std=(1.0,) * 3)
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 33, 20, 3)))
    variables = filled(model, image, train=False)
    backbone = {name: tree["backbone"] for name, tree in variables.items()}
    stages = jax.jit(lambda x: SMALL.apply(backbone, x, train=False))(image)
    last = variables["params"]["image_classifier"]
    wanted = jnp.mean(stages[-1], axis=(1, 2)) @ last["kernel"] + last["bias"]
    ours = jax.jit(lambda x: model.apply(variables, x, train=False))(image)
    assert ours.shape == (2, 5)
    np.testing.assert_allclose(ours, wanted, atol=1e-5)


def test_a_hidden_layer_comes_before_the_mean():
    model = ImageClassifier(SMALL, num_classes=5, hidden=ConvNorm(7), dtype="bfloat16")
    image = jnp.zeros((2, 32, 32, 3))
    variables = filled(model, image, train=False)
    assert set(variables["params"]) == {"backbone", "hidden", "image_classifier"}
    assert variables["params"]["image_classifier"]["kernel"].shape == (7, 5)
    logits = jax.eval_shape(lambda: model.apply(variables, image, train=False))
    assert (logits.shape, logits.dtype) == ((2, 5), jnp.float32)
