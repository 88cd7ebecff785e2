"""The networks of PiCo's tables have as many parameters as the authors' modules."""

import jax.numpy as jnp
import pytest

from jaxseg.models.backbones.hrnet import HRNet
from jaxseg.models.backbones.resnet import ResNet
from jaxseg.models.heads.deeplabv3 import DeepLabV3
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.heads.projection import Projection
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import num_parameters


def hrnet(num_classes):
    head = FCN(720, stages=(0, 1, 2, 3), use_bias=True, dropout=0.1)
    return Segmentor(HRNet(48), head, num_classes, classifier_bias=False)


def deeplab(depth, num_classes):
    return Segmentor(
        ResNet(depth, output_stride=8, deep_stem=True),
        DeepLabV3(512, rates=(12, 24, 36), project_kernel=3, refine=True),
        num_classes,
        auxiliary=FCN(256, stages=(-2,), use_bias=True),
    )


def projection(channels):
    return num_parameters(Projection(), jnp.zeros((1, 2, 2, channels)))


@pytest.mark.parametrize(
    "num_classes, alone, projected",
    [(19, 70_006_560, 70_711_696), (150, 70_100_880, 70_806_016)],
)
def test_hrnet_w48(num_classes, alone, projected):
    count = num_parameters(hrnet(num_classes))
    assert (count, count + projection(720)) == (alone, projected)


@pytest.mark.parametrize(
    "num_classes, alone, projected",
    [(19, 89_570_278, 94_295_270), (150, 89_671_148, 94_396_140)],
)
def test_deeplabv3_with_resnet101(num_classes, alone, projected):
    count = num_parameters(deeplab(101, num_classes))
    assert (count, count + projection(2048)) == (alone, projected)


@pytest.mark.parametrize(
    "num_classes, projected", [(19, 75_303_142), (150, 75_404_012)]
)
def test_deeplabv3_with_resnet50(num_classes, projected):
    count = num_parameters(deeplab(50, num_classes))
    assert count + projection(2048) == projected
