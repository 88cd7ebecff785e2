import re

import numpy as np
import pytest

from jaxseg.models.backbones.resnet import ResNet
from jaxseg.models.classifier import ImageClassifier
from jaxseg.models.heads.deeplabv2 import DeepLabV2, DeepLabV2Classifier
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.heads.identity import Identity
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained.keymaps import deeplab, resnet
from jaxseg.pretrained.load import fill
from tests.models.fill import filled
from tests.pretrained.published import (
    apply,
    loaded,
    randomise,
    relative_difference,
    tensors_of,
    to_torch,
)

UNIT = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
CAFFE = {"stride_in": "1x1", "pool_ceil_mode": True, "dilations": (1, 1, 2, 4)}


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).normal(size=(2, 65, 97, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def torch_resnet(torch):
    from tests.models import torch_resnet

    torch.manual_seed(0)
    return torch_resnet


def classifier(num_classes=7, **fields):
    return ImageClassifier(ResNet(output_stride=32, **fields), num_classes, **UNIT)


def difference(ours, theirs, tensors, image, *, train, read=lambda y: y):
    """How far our logits are from theirs, one mode of the normalisations."""
    variables = loaded(ours, tensors, image)
    outputs = apply(ours, variables, image, train=train)
    theirs.train(train)
    return relative_difference(read(outputs), theirs(to_torch(image)))


@pytest.mark.parametrize(
    "depth, train",
    [
        (18, False),
        (18, True),
        (50, False),
        pytest.param(50, True, marks=pytest.mark.slow),
    ],
)
def test_hugging_face(transformers, image, depth, train):
    import torch

    torch.manual_seed(0)
    kind, widths = ("basic", (64, 128, 256, 512))
    if depth == 50:
        kind, widths = ("bottleneck", (256, 512, 1024, 2048))
    config = transformers.ResNetConfig(
        layer_type=kind,
        hidden_sizes=widths,
        depths=[2] * 4 if depth == 18 else [3, 4, 6, 3],
        num_labels=7,
    )
    model = randomise(transformers.ResNetForImageClassification(config))
    model.train(train)
    theirs = model(to_torch(image)).logits
    ours = classifier(depth=depth)
    variables = loaded(ours, tensors_of(model), image)
    logits = apply(ours, variables, image, train=train)
    assert relative_difference(logits, theirs) < 1e-4


# The stem of torchvision, of CSAIL's files and of mmseg; timm's ResNet-D.
@pytest.mark.parametrize(
    "stem, fields",
    [
        ("plain", {}),
        ("csail", {"deep_stem": True, "stem_width": 8}),
        ("mmseg", {"deep_stem": True, "stem_width": 4}),
        ("timm", {"deep_stem": True, "stem_width": 4, "average_shortcut": True}),
    ],
)
def test_stems_and_shortcuts(torch_resnet, image, stem, fields):
    theirs = randomise(
        torch_resnet.ResNet(
            18,
            width=8,
            stem=stem,
            stem_width=fields.get("stem_width"),
            average="average_shortcut" in fields,
            classes=7,
        )
    )
    ours = classifier(depth=18, width=8, **fields)
    tensors = tensors_of(theirs)
    assert difference(ours, theirs, tensors, image, train=True) < 1e-4


PLANS = {
    "DEEPLABV2": {"output_stride": 8, **CAFFE},
    "SELF_REGULATION": {"output_stride": 16, **CAFFE},
}


@pytest.mark.parametrize(
    "plan, train", [("DEEPLABV2", False), ("SELF_REGULATION", True)]
)
def test_deeplabv2(torch_resnet, image, plan, train):
    backbone = torch_resnet.ResNet(
        50, getattr(torch_resnet, plan), width=4, caffe=True, ceil_mode=True
    )
    theirs = torch_resnet.calmed(randomise(torch_resnet.Scaled(backbone, 128, 7)))
    ours = Segmentor(
        ResNet(50, width=4, **PLANS[plan]),
        Identity(),
        7,
        DeepLabV2Classifier(),
        **UNIT,
    )
    tensors = tensors_of(theirs)
    assert any(name.startswith("Scale.layer5.conv2d_list.3.") for name in tensors)
    distance = difference(
        ours, theirs, tensors, image, train=train, read=lambda y: y.coarse
    )
    assert distance < 1e-4


def spnets_name(name):
    """What `Scale.layer3.5.bn2.bias` is called there: layer4.block6.conv3x3.bn.bias."""
    name = name.removeprefix("Scale.")
    name = re.sub(r"^(conv|bn)1\.", r"layer1.conv1.\1.", name)
    name = re.sub(r"^layer5\.conv2d_list\.", "aspp.c", name)
    match = re.fullmatch(r"layer(\d)\.(\d+)\.([a-z]+)\.?(\d)\.(\w+)", name)
    if not match:
        return name
    stage, block, kind, number, leaf = match.groups()
    part = {"1": "reduce", "2": "conv3x3", "3": "increase"}.get(number)
    if kind == "downsample":
        part, kind = "shortcut", ("conv", "bn")[int(number)]
    return f"layer{int(stage) + 1}.block{int(block) + 1}.{part}.{kind}.{leaf}"


def test_spnets_names_are_the_same_network(torch_resnet):
    backbone = torch_resnet.ResNet(101, torch_resnet.DEEPLABV2, width=4, caffe=True)
    caffe = tensors_of(torch_resnet.Scaled(backbone, 128, 12))
    spnet = {f"base.{spnets_name(name)}": value for name, value in caffe.items()}
    arrays = []
    for maps, title, tensors in (
        (resnet.KEY_MAPS, "Caffe DeepLabV2", caffe),
        (deeplab.KEY_MAPS, "SPNet DeepLabV2", spnet),
    ):
        *_, with_head = (key_map for key_map in maps if key_map.title == title)
        renamed = with_head.rename(tensors)
        assert not renamed.unknown
        assert ("params", "head", "rate_3", "kernel") in renamed.arrays
        arrays.append(renamed.arrays)
    assert arrays[0].keys() == arrays[1].keys()
    for path, values in arrays[0].items():
        np.testing.assert_array_equal(arrays[1][path], values)


def test_a_deeplabv2_does_not_fit_a_network_of_another_stride(torch_resnet, image):
    backbone = torch_resnet.ResNet(50, torch_resnet.DEEPLABV2, width=4, caffe=True)
    tensors = tensors_of(torch_resnet.Scaled(backbone, 128, 12))
    ours = Segmentor(ResNet(50, 8, width=4), DeepLabV2(12), 7)
    with pytest.raises(ValueError, match="set config.model.backbone.stride_in = '1x1'"):
        loaded(ours, tensors, image)


@pytest.fixture(scope="module")
def tensors(torch_resnet):
    return tensors_of(randomise(torch_resnet.ResNet(18, width=8, classes=7)))


def test_an_imagenet_file_starts_a_segmentor(image, tensors):
    ours = Segmentor(ResNet(18, width=8), FCN(4), 5)
    variables = filled(ours, image, train=False)
    _, _, report = fill(
        tensors, ours, variables["params"], variables["batch_stats"], source="a file"
    )
    assert report.title == "torchvision ResNet"
    assert {"fc.bias", "fc.weight"} < set(report.ignored) and not report.surplus
    assert {path.split("/")[1] for path in report.kept} == {"classifier", "head"}


def test_pass_files_lose_their_prefixes_and_heads(image, tensors):
    ours = Segmentor(ResNet(18, width=8), Identity(), 3)
    backbone = {name: t for name, t in tensors.items() if not name.startswith("fc")}
    heads = {"projection_head.0.weight": np.ones((4, 8)), "prototypes.weight": 1.0}
    published = {f"module.backbone.{name}": t for name, t in backbone.items()}
    published |= {f"module.{name}": t for name, t in heads.items()}
    variables = loaded(ours, published, image)
    assert np.all(
        np.isfinite(variables["params"]["backbone"]["stem_0"]["conv"]["kernel"])
    )
    assert np.all(np.isnan(variables["params"]["classifier"]["kernel"]))

    head = {"head.weight": np.ones((3, 64, 1, 1)), "head.bias": np.ones(3)}
    variables = loaded(ours, backbone | head, image)
    assert np.all(variables["params"]["classifier"]["kernel"] == 1)
