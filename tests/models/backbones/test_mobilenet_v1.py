import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones import mobilenet_v1
from jaxseg.models.backbones.mobilenet_v1 import MobileNetV1
from jaxseg.models.classifier import ImageClassifier
from tests.models.fill import shapes_of, stage_shapes
from tests.models.gradients import (
    assert_gradients_survive_remat,
    assert_half_precision_is_near,
)

IMAGE = np.random.default_rng(0).normal(size=(2, 33, 40, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "output_stride, sizes",
    [(32, (33, 17, 9, 5, 3)), (16, (33, 17, 9, 5, 5)), (8, (33, 17, 9, 9, 9))],
)
def test_stages_stop_shrinking_at_the_output_stride(output_stride, sizes):
    shapes, _ = stage_shapes(MobileNetV1(output_stride), (2, 65, 65, 3))
    channels = (64, 128, 256, 512, 1024)
    wanted = zip(sizes, channels, strict=True)
    assert shapes == [(2, size, size, d) for size, d in wanted]


@pytest.mark.parametrize("width, total", [(1.0, 4_253_864), (0.25, 475_544)])
def test_parameter_count_is_the_published_one(width, total):
    # Keras counts the running statistics, too, as many as scales and offsets.
    network = ImageClassifier(MobileNetV1(32, width=width), num_classes=1000)
    variables = shapes_of(network, jnp.zeros((1, 32, 32, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == total


@pytest.mark.slow
def test_gradients_survive_remat(monkeypatch):
    monkeypatch.setattr(mobilenet_v1, "STAGES", mobilenet_v1.STAGES[:2])
    assert_gradients_survive_remat(MobileNetV1(), IMAGE)


@pytest.mark.slow
def test_half_precision_is_near_the_truth():
    assert_half_precision_is_near(MobileNetV1(width=0.25), IMAGE)
