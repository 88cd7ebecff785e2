import numpy as np
import pytest

from jaxseg.models.backbones.unet import UNetEncoder
from jaxseg.models.heads.unet import UNet
from jaxseg.models.segmentor import Segmentor
from tests.pretrained.published import (
    apply,
    loaded,
    randomise,
    relative_difference,
    tensors_of,
    to_torch,
)


@pytest.mark.parametrize("train", [False, True])
def test_pytorch_unet_agrees(torch, train):
    from tests.models import torch_unet

    torch.manual_seed(0)
    image = np.random.default_rng(0).normal(size=(2, 65, 94, 3)).astype(np.float32)
    theirs = randomise(torch_unet.UNet(5, width=4))
    tensors = tensors_of(theirs)
    tensors["mask_values"] = np.arange(5)
    ours = Segmentor(
        UNetEncoder(widths=(4, 8, 16, 32, 64)),
        UNet((32, 16, 8, 4)),
        5,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )
    logits = apply(ours, loaded(ours, tensors, image), image, train=train).logits
    expected = theirs.train(train)(to_torch(image))
    assert relative_difference(logits, expected) < 1e-4
