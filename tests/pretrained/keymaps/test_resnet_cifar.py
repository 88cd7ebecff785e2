"""The published networks reproduce the logits that an independent code computed."""

import numpy as np
import pytest

from jaxseg.models.backbones.resnet_cifar import ResNetCIFAR
from jaxseg.models.classifier import ImageClassifier
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained import readers
from tests.pretrained.published import apply, loaded


@pytest.mark.parametrize("depth", [20, 56])
def test_published_logits(data_root, depth):
    weights = data_root / "weights"
    reference = np.load(weights / "reference_outputs.npz")
    image = reference["cls_image_uint8"].astype(np.float32)
    # Means of 7 x 7 pixels.
    image = image.reshape(-1, 32, 7, 32, 7, 3).mean(axis=(2, 4))
    model = ImageClassifier(ResNetCIFAR(depth), num_classes=10)
    tensors = readers.read(weights / f"resnet{depth}_cifar10.safetensors")
    logits = apply(model, loaded(model, tensors, image), image, train=False)
    wanted = reference[f"resnet{depth}_cifar10_logits"]
    np.testing.assert_allclose(logits, wanted, atol=1e-4)


def test_the_file_starts_a_segmentor(data_root):
    tensors = readers.read(data_root / "weights" / "resnet20_cifar10.safetensors")
    model = Segmentor(ResNetCIFAR(20), FCN(4), 3)
    variables = loaded(model, tensors, np.zeros((1, 32, 32, 3), np.float32))
    assert np.all(
        np.isfinite(variables["params"]["backbone"]["stem"]["conv"]["kernel"])
    )
    assert np.all(np.isnan(variables["params"]["classifier"]["kernel"]))
