"""Values are compared with published logits in tests/pretrained/keymaps."""

import numpy as np
import pytest

from jaxseg.models.backbones.resnet_cifar import ResNetCIFAR
from jaxseg.models.classifier import ImageClassifier
from tests.models.fill import num_parameters, stage_shapes
from tests.models.gradients import (
    assert_gradients_survive_remat,
    assert_half_precision_is_near,
)


# The paper's 0.27 and 0.85 million.
@pytest.mark.parametrize("depth, count", [(20, 269_722), (56, 853_018)])
def test_parameter_count_is_the_published_one(depth, count):
    assert num_parameters(ImageClassifier(ResNetCIFAR(depth), 10)) == count


def test_stages_halve_the_size():
    shapes, _ = stage_shapes(ResNetCIFAR(20), (2, 33, 32, 3))
    assert shapes == [(2, 33, 32, 16), (2, 17, 16, 32), (2, 9, 8, 64)]


def test_gradients_survive_remat():
    image = np.random.default_rng(0).normal(size=(2, 17, 16, 3)).astype(np.float32)
    assert_gradients_survive_remat(ResNetCIFAR(8, width=4), image)


def test_half_precision_is_near():
    image = np.random.default_rng(0).normal(size=(2, 17, 16, 3)).astype(np.float32)
    assert_half_precision_is_near(ResNetCIFAR(8, width=4), image)


def test_depths_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match="depth 21 is not 6 n"):
        stage_shapes(ResNetCIFAR(21), (1, 32, 32, 3))
