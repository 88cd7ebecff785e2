import numpy as np
import pytest

from jaxseg.models.backbones.hrnet import HRNet
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.heads.identity import Identity
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

SMALL = dict(modules=(1, 1, 1), blocks=1)
JOINED = dict(stages=(0, 1, 2, 3), use_bias=True)


@pytest.fixture
def torch_hrnet(torch):
    from tests.models import torch_hrnet

    torch.manual_seed(0)
    return torch_hrnet


def picture(*shape):
    return np.random.default_rng(0).normal(size=(*shape, 3)).astype(np.float32)


def segmentor(head, *, fusion="aligned", **fields):
    """A small network, for images that are normalised already."""
    backbone = HRNet(4, stem_width=8, fusion=fusion, **SMALL)
    return Segmentor(backbone, head, 5, mean=(0.0,) * 3, std=(1.0,) * 3, **fields)


def ocr(auxiliary_kernel, attention_bias):
    return segmentor(
        OCR(12, 6, stages=(0, 1, 2, 3), attention_bias=attention_bias, dropout=0.0),
        auxiliary=FCN(60, kernel_size=auxiliary_kernel, **JOINED),
        align_corners=True,
    )


def enlarged(logits, image):
    import torch.nn.functional as F

    return F.interpolate(logits, image.shape[1:3], mode="bilinear", align_corners=True)


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
def test_the_whole_w18_of_openseg_agrees(torch_hrnet, train):
    image = picture(2, 65, 97)
    theirs = torch_hrnet.Openseg(torch_hrnet.HRNet(18), 19)
    tensors = tensors_of(randomise(theirs))
    tensors = {f"module.{name}": value for name, value in tensors.items()}
    tensors["module.proj_head.proj.0.weight"] = np.zeros((270, 270, 1, 1))
    ours = Segmentor(
        HRNet(18),
        FCN(270, **JOINED),
        19,
        classifier_bias=False,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )
    logits = apply(ours, loaded(ours, tensors, image), image, train=train).coarse
    theirs.train(train)
    assert relative_difference(logits, theirs(to_torch(image))) < 1e-4


@pytest.mark.parametrize("train", [False, True])
def test_ocr_of_openseg_agrees(torch_hrnet, train):
    image = picture(2, 65, 97)
    theirs = randomise(
        torch_hrnet.OpensegOCR(torch_hrnet.HRNet(4, stem=8, **SMALL), 12, 6, 5)
    )
    ours = ocr(auxiliary_kernel=3, attention_bias=True)
    outputs = apply(ours, loaded(ours, tensors_of(theirs), image), image, train=train)
    classes, logits = theirs.train(train)(to_torch(image))
    assert relative_difference(outputs.logits, enlarged(logits, image)) < 1e-4
    if train:
        assert relative_difference(outputs.auxiliary, enlarged(classes, image)) < 1e-4


def test_ocr_of_the_authors_agrees(torch_hrnet):
    image = picture(1, 65, 97)
    theirs = randomise(torch_hrnet.AuthorsOCR(4, 12, 6, 5, stem=8, **SMALL))
    tensors = {f"model.{name}": value for name, value in tensors_of(theirs).items()}
    tensors["loss.criterion.weight"] = np.ones(5)
    ours = ocr(auxiliary_kernel=1, attention_bias=False)
    coarse = apply(ours, loaded(ours, tensors, image), image, train=False).coarse
    _, logits = theirs.eval()(to_torch(image))
    assert relative_difference(coarse, logits) < 1e-4


def test_the_plain_head_of_the_authors_agrees(torch_hrnet):
    image = picture(1, 33, 49)
    theirs = randomise(torch_hrnet.Authors(4, 5, stem=8, **SMALL))
    ours = segmentor(FCN(60, kernel_size=1, **JOINED))
    variables = loaded(ours, tensors_of(theirs), image)
    coarse = apply(ours, variables, image, train=False).coarse
    assert relative_difference(coarse, theirs.eval()(to_torch(image))) < 1e-4


def test_stages_of_the_imagenet_network_agree(torch_hrnet):
    image = picture(1, 49, 70)
    theirs = torch_hrnet.HRNet(4, stem=8, resize=dict(mode="nearest"), **SMALL)
    tensors = tensors_of(randomise(theirs))
    tensors["incre_modules.0.0.conv1.weight"] = np.zeros((32, 4, 1, 1))
    tensors["classifier.weight"] = np.zeros((1000, 2048))
    ours = segmentor(Identity(), fusion="nearest")
    stages = apply(ours, loaded(ours, tensors, image), image, train=False).stages
    for stage, expected in zip(stages, theirs.eval()(to_torch(image)), strict=True):
        assert relative_difference(stage, expected) < 1e-4
