"""Values and gradients are checked by the golden cases sr/head_*."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.heads.exit import Exit, ImageLogits
from tests.models.fill import filled, num_parameters


# The four exits of SR's release, for 21 classes.
@pytest.mark.parametrize(
    "channels, count",
    [(64, 744_675), (256, 1_187_043), (512, 1_776_867), (1024, 2_956_515)],
)
def test_parameter_count_is_the_releases(channels, count):
    assert num_parameters(Exit(21), jnp.zeros((1, 2, 2, channels))) == count


def test_says_pixels_and_image_in_float32():
    head = Exit(5, features=8, dtype="bfloat16")
    x = jnp.ones((2, 6, 7, 4))
    variables = filled(head, x, train=False)
    logits, image_logits = head.apply(variables, x, train=False)
    assert (logits.shape, image_logits.shape) == ((2, 6, 7, 5), (2, 5))
    assert logits.dtype == image_logits.dtype == jnp.float32


def test_image_logits_read_the_mean_pixel():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)))
    layer = ImageLogits()
    variables = filled(layer, logits)
    fc = variables["params"]["fc"]
    wanted = jnp.mean(logits, axis=(1, 2)) @ fc["kernel"] + fc["bias"]
    ours = jax.jit(layer.apply)(variables, logits)
    np.testing.assert_allclose(ours, wanted, atol=1e-5)
