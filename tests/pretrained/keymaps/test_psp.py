import re

import numpy as np
import pytest

from jaxseg.models.backbones.resnet import ResNet
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.heads.psp import PSP
from jaxseg.models.heads.upernet import UPerNet
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained.keymaps import psp
from tests.pretrained.published import (
    apply,
    loaded,
    randomise,
    relative_difference,
    tensors_of,
    to_torch,
)

C = 7
WIDTHS = (8, 16, 32, 64)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).normal(size=(2, 65, 97, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def torch_resnet(torch):
    from tests.models import torch_resnet

    torch.manual_seed(0)
    return torch_resnet


def network(torch_resnet, *, features, stem, lateral=False):
    """An mmseg network on ResNetV1c, with its auxiliary head."""
    backbone = torch_resnet.ResNet(18, width=8, stem=stem, stem_width=4)
    head = torch_resnet.MmsegHead(WIDTHS, features, C, lateral=lateral)
    network = torch_resnet.MmsegSegmentor(backbone, head, WIDTHS[2], 8, C)
    return randomise(network)


def segmentor(head):
    return Segmentor(
        ResNet(18, 32, deep_stem=True, stem_width=4, width=8),
        head,
        C,
        auxiliary=FCN(8, stages=(2,)),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )


@pytest.mark.parametrize(
    "head", [PSP(24, pool_features=24), UPerNet(24)], ids=["psp", "upernet"]
)
def test_mmseg(torch_resnet, image, head):
    lateral = isinstance(head, UPerNet)
    theirs = network(torch_resnet, features=24, stem="mmseg", lateral=lateral)
    ours = segmentor(head)
    variables = loaded(ours, tensors_of(theirs), image)
    for train in (False, True):
        outputs = apply(ours, variables, image, train=train)
        logits, auxiliary = theirs.train(train)(to_torch(image))
        assert relative_difference(outputs.logits, logits) < 1e-4
        if train:
            assert relative_difference(outputs.auxiliary, auxiliary) < 1e-4


def test_semsegs_names_are_the_same_network(torch_resnet):
    mmseg = tensors_of(network(torch_resnet, features=16, stem="mmseg"))
    names = (
        (r"backbone\.stem", "layer0"),
        (r"backbone\.", ""),
        (r"decode_head\.psp_modules\.(\d)\.1\.conv", r"ppm.features.\1.1"),
        (r"decode_head\.psp_modules\.(\d)\.1\.bn", r"ppm.features.\1.2"),
        (r"decode_head\.bottleneck\.conv", "cls.0"),
        (r"decode_head\.bottleneck\.bn", "cls.1"),
        (r"decode_head\.conv_seg", "cls.4"),
        (r"auxiliary_head\.convs\.0\.conv", "aux.0"),
        (r"auxiliary_head\.convs\.0\.bn", "aux.1"),
        (r"auxiliary_head\.conv_seg", "aux.4"),
    )
    semseg = {}
    for name, value in mmseg.items():
        for old, new in names:
            name = re.sub(rf"^{old}", new, name)
        semseg[f"module.{name}"] = value
    # Of each publisher the second key map is the one with the auxiliary head.
    ours, theirs = (
        [key_map for key_map in psp.KEY_MAPS if key_map.title == title][1].rename(file)
        for title, file in (
            ("mmseg PSPNet or UPerNet on ResNet", mmseg),
            ("semseg PSPNet", semseg),
        )
    )
    assert not ours.unknown and not theirs.unknown
    assert ours.arrays.keys() == theirs.arrays.keys()
    for path, values in ours.arrays.items():
        np.testing.assert_array_equal(theirs.arrays[path], values)
