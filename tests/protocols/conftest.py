"""A small network with random weights, pictures on canvases, and pictures alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.segmentor import Segmentor

FILL = (124, 116, 104)
CLASSES = 5


@pytest.fixture(scope="session")
def network():
    model = Segmentor(
        backbone=Tiny(widths=(8, 16), depths=(0, 1)),
        head=FCN(features=8),
        num_classes=CLASSES,
    )
    image = jnp.zeros((1, 16, 16, 3))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: jnp.float32(weights(rng, leaf.shape)), shapes)
    return lambda image: model.apply(variables, image, train=False).logits


def weights(rng, shape):
    """Kernels that keep the size of what they read; positive scales and variances."""
    if len(shape) == 4:
        return rng.normal(size=shape, scale=np.prod(shape[:3]) ** -0.5)
    return rng.uniform(0.5, 1.5, shape)


@pytest.fixture(scope="session")
def alone(network):
    """The network on one picture [h, w, 3], in NumPy: logits [h, w, C]."""
    apply = jax.jit(network)
    return lambda picture: np.asarray(apply(jnp.asarray(picture[None])))[0]


def pictures(sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in sizes]


def on_canvases(images, canvas, seed=1):
    """Pictures at the top left of noise, which nobody may see, and their sizes."""
    rng = np.random.default_rng(seed)
    batch = rng.integers(0, 256, (len(images), *canvas, 3)).astype(np.uint8)
    for place, image in zip(batch, images, strict=True):
        place[: image.shape[0], : image.shape[1]] = image
    return batch, np.array([image.shape[:2] for image in images], np.int32)


def compute(protocol, network, batch, sizes):
    """The logits, compiled."""
    call = jax.jit(lambda image, size: protocol(network, image, size, fill=FILL))
    return np.asarray(call(batch, sizes))


def assert_alone(logits, images, expected, *, atol=1e-4):
    """Compares each picture's part of its canvas with what it should get."""
    for ours, image in zip(logits, images, strict=True):
        height, width = image.shape[:2]
        theirs = expected(image)
        assert theirs.shape == (height, width, CLASSES)
        np.testing.assert_allclose(ours[:height, :width], theirs, atol=atol)
