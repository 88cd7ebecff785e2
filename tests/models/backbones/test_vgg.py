import numpy as np
import pytest

from jaxseg.models.backbones.unet import UNetEncoder
from jaxseg.models.backbones.vgg import VGG
from tests.models.fill import num_parameters, stage_shapes
from tests.models.gradients import (
    assert_gradients_survive_remat,
    assert_half_precision_is_near,
)

TINY = VGG(widths=(2, 4, 4), num_convs=(1, 2, 1), use_bias=False)


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_parameter_count_is_that_of_torchvisions_features():
    assert num_parameters(VGG()) == 14_723_136


@pytest.mark.parametrize(
    "backbone, widths",
    [(VGG(), (64, 128, 256, 512, 512)), (UNetEncoder(), (64, 128, 256, 512, 1024))],
)
def test_stages_are_the_maps_before_their_pooling(backbone, widths):
    shapes, dtypes = stage_shapes(backbone, (2, 67, 96, 3))
    sizes = [(67, 96), (33, 48), (16, 24), (8, 12), (4, 6)]
    expected = [(2, *size, width) for size, width in zip(sizes, widths, strict=True)]
    assert shapes == expected
    assert dtypes == {"float32"}


def test_recomputing_stages_changes_nothing():
    assert_gradients_survive_remat(TINY, normal(2, 17, 24, 3))


def test_half_precision_is_near_the_truth():
    assert_half_precision_is_near(TINY, normal(1, 17, 24, 3))
