import numpy as np
import pytest

from jaxseg.models.backbones.resnet import ResNet
from jaxseg.models.heads.deeplabv3 import DeepLabV3
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import num_parameters
from tests.pretrained.published import (
    apply,
    loaded,
    randomise,
    relative_difference,
    tensors_of,
    to_torch,
)

C = 7


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).normal(size=(2, 65, 97, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def torch_resnet(torch):
    from tests.models import torch_resnet

    torch.manual_seed(0)
    return torch_resnet


def segmentor(backbone, head, auxiliary=None, num_classes=C, **fields):
    unit = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    return Segmentor(backbone, head, num_classes, auxiliary=auxiliary, **unit, **fields)


def torchvision(features=256, width=64, depth=50, **fields):
    head = DeepLabV3(
        features, rates=(12, 24, 36), refine=True, refine_relu=True, **fields
    )
    return ResNet(depth, 8, width=width), head, FCN(4 * width, stages=(-2,))


def check(ours, theirs, image):
    """Compares the logits, and in training those of the auxiliary head, too."""
    variables = loaded(ours, tensors_of(theirs), image)
    for train in (False, True):
        outputs = apply(ours, variables, image, train=train)
        logits, *auxiliary = theirs.train(train)(to_torch(image))
        assert relative_difference(outputs.logits, logits) < 1e-4
        if train and auxiliary:
            assert relative_difference(outputs.auxiliary, *auxiliary) < 1e-4


def test_torchvision_deeplabv3_with_resnet50(torch_resnet, image):
    backbone = torch_resnet.ResNet(50, torch_resnet.STRIDE_8)
    theirs = torch_resnet.TorchvisionSegmentor(backbone, 2048, C)
    theirs = torch_resnet.calmed(randomise(theirs))
    check(segmentor(*torchvision()), theirs, image)


def test_torchvision_fcn(torch_resnet, image):
    backbone = torch_resnet.ResNet(18, width=8)
    theirs = torch_resnet.TorchvisionSegmentor(backbone, 64, C, deeplab=False)
    ours = segmentor(ResNet(18, 32, width=8), FCN(16), FCN(8, stages=(-2,)))
    check(ours, randomise(theirs), image)


def test_openseg_deeplabv3(torch_resnet, image):
    backbone = torch_resnet.ResNet(18, width=8, stem="csail", ceil_mode=True)
    theirs = torch_resnet.Openseg(backbone, 64, 16, 8, C)
    ours = segmentor(
        ResNet(18, 32, width=8, deep_stem=True, pool_ceil_mode=True),
        DeepLabV3(16, (12, 24, 36), project_kernel=3, refine=True),
        FCN(8, stages=(-2,), use_bias=True),
        align_corners=True,
    )
    check(ours, randomise(theirs), image)


def test_zs3nets_deeplabv3plus(torch_resnet, image):
    plan = torch_resnet.STRIDE_16
    backbone = torch_resnet.ResNet(18, plan, width=8, multi_grid=(2, 4))
    theirs = torch_resnet.ZS3Net(backbone, 8, 64, C, features=12, skip=5)
    ours = segmentor(
        ResNet(18, 16, dilations=(1, 1, 1, 2), multi_grid=(1, 2), width=8),
        DeepLabV3(
            12,
            skip_stage=0,
            skip_features=5,
            join_dropouts=(0.0, 0.0),
            align_corners=True,
        ),
        align_corners=True,
    )
    check(ours, randomise(theirs), image)


def test_a_file_with_an_auxiliary_head_fills_a_model_without_one(torch_resnet, image):
    backbone = torch_resnet.ResNet(50, torch_resnet.STRIDE_8, width=4)
    theirs = torch_resnet.TorchvisionSegmentor(backbone, 128, C, features=8)
    backbone, head, _ = torchvision(8, width=4)
    variables = loaded(segmentor(backbone, head), tensors_of(theirs), image)
    assert np.all(np.isfinite(variables["params"]["classifier"]["kernel"]))


# As torchvision states them, for 21 classes with the auxiliary head.
@pytest.mark.parametrize(
    "depth, deeplab, count",
    [
        (50, True, 42_004_074),
        (101, True, 60_996_202),
        (50, False, 35_322_218),
        (101, False, 54_314_346),
    ],
)
def test_parameter_count_is_torchvisions(depth, deeplab, count):
    backbone, head, auxiliary = torchvision(depth=depth)
    head = head if deeplab else FCN(512)
    model = segmentor(backbone, head, auxiliary, num_classes=21)
    assert num_parameters(model) == count
