import numpy as np
import pytest

from jaxseg.models.backbones.vgg import VGG
from jaxseg.models.heads.identity import Identity
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
def test_the_features_of_torchvision_agree(torch, train):
    from tests.models import torch_unet

    torch.manual_seed(0)
    image = np.random.default_rng(0).normal(size=(1, 65, 97, 3)).astype(np.float32)
    theirs = randomise(torch_unet.VGG(num_classes=3))
    ours = Segmentor(VGG(), Identity(), 3, mean=(0.0,) * 3, std=(1.0,) * 3)
    variables = loaded(ours, tensors_of(theirs), image)
    stages = apply(ours, variables, image, train=train).stages
    expected = theirs.train(train)(to_torch(image))
    for stage, wanted in zip(stages, expected, strict=True):
        assert relative_difference(stage, wanted) < 1e-4
