import numpy as np
import pytest

from jaxseg.models.backbones.resnet import ResNet
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.heads.ocr import OCR
from jaxseg.models.segmentor import Segmentor
from tests.pretrained.published import (
    apply,
    loaded,
    randomise,
    relative_difference,
    tensors_of,
    to_torch,
)


def test_ocr_of_openseg_on_a_dilated_resnet_agrees(torch):
    from tests.models import torch_hrnet, torch_resnet

    torch.manual_seed(0)
    image = np.random.default_rng(0).normal(size=(1, 65, 90, 3)).astype(np.float32)
    backbone = torch_resnet.ResNet(
        50, torch_resnet.STRIDE_8, width=4, stem="csail", ceil_mode=True
    )
    theirs = randomise(torch_hrnet.ResNetOCR(backbone, 128, 12, 6, 5))
    ours = Segmentor(
        ResNet(50, output_stride=8, deep_stem=True, pool_ceil_mode=True, width=4),
        OCR(12, 6),
        5,
        auxiliary=FCN(12, stages=(-2,), use_bias=True, dropout=0.05),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )
    variables = loaded(ours, tensors_of(theirs), image)
    coarse = apply(ours, variables, image, train=False).coarse
    _, logits = theirs.eval()(to_torch(image))
    assert relative_difference(coarse, logits) < 1e-4


def test_a_file_without_the_attention_is_refused(torch):
    from tests.models import torch_hrnet, torch_resnet

    backbone = torch_resnet.ResNet(18, torch_resnet.STRIDE_8, width=4, stem="csail")
    tensors = tensors_of(torch_hrnet.ResNetOCR(backbone, 32, 12, 6, 5))
    tensors = {k: v for k, v in tensors.items() if not k.startswith("spatial")}
    ours = Segmentor(
        ResNet(18, output_stride=8, deep_stem=True, pool_ceil_mode=True, width=4),
        OCR(12, 6),
        5,
        auxiliary=FCN(12, stages=(-2,), use_bias=True),
    )
    with pytest.raises(ValueError, match=r"missing in the file: \S*head/attention"):
        loaded(ours, tensors, np.zeros((1, 33, 33, 3), np.float32))
