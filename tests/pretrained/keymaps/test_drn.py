import numpy as np
import pytest

from jaxseg.models.backbones.drn import DRN
from jaxseg.models.classifier import ImageClassifier
from jaxseg.models.heads.identity import Identity
from jaxseg.models.heads.psp import PSP
from jaxseg.models.segmentor import Segmentor
from tests.pretrained.published import (
    apply,
    loaded,
    randomise,
    relative_difference,
    tensors_of,
    to_torch,
)

CHANNELS = (4, 4, 4, 6, 6, 8, 8, 12)
AS_IT_IS = dict(mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture
def torch_drn(torch):
    from tests.models import torch_drn

    torch.manual_seed(0)
    return torch_drn


def picture(*shape):
    return np.random.default_rng(0).normal(size=(*shape, 3)).astype(np.float32)


@pytest.mark.parametrize("train", [False, True])
def test_the_whole_d_22_agrees(torch_drn, train):
    image = picture(1, 65, 97)
    theirs = randomise(torch_drn.DRN(22))
    ours = Segmentor(DRN(22), Identity(), 19, **AS_IT_IS)
    variables = loaded(ours, tensors_of(theirs), image)
    stages = apply(ours, variables, image, train=train).stages
    expected, _ = theirs.train(train)(to_torch(image))
    for stage, wanted in zip(stages, expected, strict=True):
        assert relative_difference(stage, wanted) < 1e-4


def test_the_imagenet_network_with_bottlenecks_agrees(torch_drn):
    image = picture(2, 33, 50)
    theirs = randomise(torch_drn.DRN(54, CHANNELS, num_classes=7))
    ours = ImageClassifier(DRN(54, channels=CHANNELS), 7, **AS_IT_IS)
    variables = loaded(ours, tensors_of(theirs), image)
    _, expected = theirs.eval()(to_torch(image))
    logits = apply(ours, variables, image, train=False)
    assert relative_difference(logits, expected) < 1e-4


def test_the_authors_segmentor_agrees(torch_drn):
    image = picture(1, 33, 50)
    theirs = randomise(torch_drn.DRNSeg(22, channels=CHANNELS, num_classes=5))
    tensors = {f"module.{name}": value for name, value in tensors_of(theirs).items()}
    ours = Segmentor(DRN(22, channels=CHANNELS), Identity(), 5, **AS_IT_IS)
    coarse = apply(ours, loaded(ours, tensors, image), image, train=False).coarse
    assert relative_difference(coarse, theirs.eval()(to_torch(image))) < 1e-4


@pytest.mark.parametrize("train", [False, True])
def test_the_features_of_sazs_agree(torch_drn, train):
    image = picture(2, 65, 97)
    theirs = randomise(torch_drn.SAZS(22, channels=CHANNELS, features=10))
    ours = Segmentor(
        DRN(22, channels=CHANNELS), PSP(10, pool_features=12), 5, **AS_IT_IS
    )
    variables = loaded(ours, tensors_of(theirs), image, allow=("*edges/*",))
    features = apply(ours, variables, image, train=train).features
    expected = theirs.train(train)(to_torch(image))
    assert relative_difference(features, expected) < 1e-4


def test_edges_without_a_place_are_refused(torch_drn):
    image = picture(1, 33, 33)
    theirs = torch_drn.SAZS(22, channels=CHANNELS, features=10)
    ours = Segmentor(DRN(22, channels=CHANNELS), PSP(10, pool_features=12), 5)
    with pytest.raises(ValueError, match=r"without a place in the model: \S*edges"):
        loaded(ours, tensors_of(theirs), image)
