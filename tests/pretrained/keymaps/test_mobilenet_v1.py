"""MobileNetV1 by two publishers: the same numbers from the same weights."""

import numpy as np
import pytest

from jaxseg.models.backbones.mobilenet_v1 import MobileNetV1
from jaxseg.models.classifier import ImageClassifier
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained import safetensors
from jaxseg.pretrained.load import load_weights
from tests.models.fill import filled
from tests.pretrained import published
from tests.pretrained.published import (
    relative_difference,
    settle,
    tensors_of,
    to_torch,
)

IMAGE = np.random.default_rng(0).normal(size=(4, 65, 98, 3)).astype(np.float32)


@pytest.fixture
def file(data_root):
    return data_root / "weights" / "mobilenet_v1_0.25_128.safetensors"


def classifier(num_classes=1001, *, mean=0.0, std=1.0, **backbone):
    backbone = MobileNetV1(32, **backbone)
    return ImageClassifier(backbone, num_classes, mean=(mean,) * 3, std=(std,) * 3)


def test_imagenet_logits_are_the_recorded_ones(file, reference):
    model = classifier(width=0.25, mean=128.0, std=128.0)
    image = reference["cls_image_uint8"][:, 48:176, 48:176]
    variables = published.loaded(model, safetensors.read(file), image)
    logits = published.apply(model, variables, image, train=False)
    np.testing.assert_allclose(logits, reference["mnv1_logits"], atol=1e-3)


def test_a_segmentor_takes_the_backbone(file):
    model = Segmentor(MobileNetV1(width=0.25), FCN(8), num_classes=11)
    fresh = filled(model, np.zeros((1, 32, 32, 3)), train=False)
    params, batch_stats, report = load_weights(file, model, **fresh)
    assert params["head"] == fresh["params"]["head"] and report.folded
    assert not [name for name in report.kept if name.split("/")[1] == "backbone"]
    assert report.ignored == (
        "MobilenetV1/Logits/Conv2d_1c_1x1/biases",
        "MobilenetV1/Logits/Conv2d_1c_1x1/weights",
    )


def test_the_imagenet_network_equals_hugging_face(torch, torch_mobilenet, transformers):
    config = transformers.MobileNetV1Config(
        num_labels=1001, classifier_dropout_prob=0.0, initializer_range=0.2
    )
    theirs = transformers.MobileNetV1ForImageClassification(config)
    settle(theirs, IMAGE)
    ours = classifier()
    variables = published.loaded(ours, tensors_of(theirs), IMAGE)
    for train in (False, True):
        with torch.no_grad():
            expected = theirs.train(train)(to_torch(IMAGE)).logits
        logits = published.apply(ours, variables, IMAGE, train=train)
        assert relative_difference(logits, expected) < 1e-4


def test_torch_padding_equals_hugging_face_without_tensorflows(
    torch, torch_mobilenet, transformers
):
    config = transformers.MobileNetV1Config(
        depth_multiplier=0.25, tf_padding=False, initializer_range=0.2
    )
    theirs = transformers.MobileNetV1Model(config)
    settle(theirs, IMAGE).eval()
    like_tensorflow, like_torch = (
        Segmentor(
            MobileNetV1(32, width=0.25, padding=padding),
            FCN(8),
            num_classes=2,
            mean=(0.0,) * 3,
            std=(1.0,) * 3,
        )
        for padding in ("tensorflow", "torch")
    )
    variables = published.loaded(like_tensorflow, tensors_of(theirs), IMAGE)
    with torch.no_grad():
        expected = theirs(to_torch(IMAGE)).last_hidden_state
    outputs = published.apply(like_torch, variables, IMAGE, train=False)
    assert relative_difference(outputs.stages[-1], expected) < 1e-4
