"""MobileNetV3-Large by torchvision's names: the same numbers from the same weights."""

import numpy as np

from jaxseg import models
from jaxseg.models.backbones.mobilenet_v3 import MobileNetV3Large
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import num_parameters
from tests.pretrained import published
from tests.pretrained.published import (
    relative_difference,
    settle,
    tensors_of,
    to_torch,
)

IMAGE = np.random.default_rng(0).normal(size=(4, 65, 98, 3)).astype(np.float32)
PLAIN = dict(mean=(0.0,) * 3, std=(1.0,) * 3)


def test_stages_equal_torchvision(torch, torch_mobilenet):
    theirs = torch_mobilenet.TorchvisionV3Large()
    settle(theirs, IMAGE).eval()
    ours = Segmentor(MobileNetV3Large(32), FCN(8), 2, **PLAIN)
    variables = published.loaded(ours, tensors_of(theirs), IMAGE)
    with torch.no_grad():
        expected, _ = theirs(to_torch(IMAGE))
    outputs = published.apply(ours, variables, IMAGE, train=False)
    for stage, wanted in zip(outputs.stages, expected, strict=True):
        assert relative_difference(stage, wanted) < 1e-4


def deeplabv3(num_classes):
    """The catalogue's, without dropout."""
    calm = dict(dropout=0.0)
    return models.create(
        "deeplabv3_mobilenet_v3_large",
        num_classes=num_classes,
        head=calm,
        auxiliary=calm,
        **PLAIN,
    )


def test_the_parameter_count_of_deeplabv3_is_the_published_one():
    assert num_parameters(deeplabv3(21)) == 11_029_328


def test_deeplabv3_equals_torchvision(torch, torch_mobilenet):
    theirs = torch_mobilenet.TorchvisionDeepLabV3(classes=5)
    settle(theirs, IMAGE)
    ours = deeplabv3(5)
    variables = published.loaded(ours, tensors_of(theirs), IMAGE)
    for train in (False, True):
        with torch.no_grad():
            expected, auxiliary = theirs.train(train)(to_torch(IMAGE))
            size = IMAGE.shape[1:3]
            auxiliary = torch.nn.functional.interpolate(
                auxiliary, size, mode="bilinear"
            )
        outputs = published.apply(ours, variables, IMAGE, train=train)
        assert relative_difference(outputs.coarse, expected) < 1e-4
    assert relative_difference(outputs.auxiliary, auxiliary) < 1e-4


def test_a_file_with_an_auxiliary_head_fills_a_model_without_one(torch_mobilenet):
    tensors = tensors_of(torch_mobilenet.TorchvisionDeepLabV3(classes=5))
    plain = deeplabv3(5).clone(auxiliary=None)
    published.loaded(plain, tensors, IMAGE)
