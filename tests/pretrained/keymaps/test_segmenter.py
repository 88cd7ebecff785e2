"""Segmenter against torch, by the authors' names, on images of odd sizes."""

import numpy as np
import pytest

from jaxseg.models.backbones.vit import ViT
from jaxseg.models.heads.identity import Identity
from jaxseg.models.heads.segmenter import MaskTransformer
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import num_parameters
from tests.pretrained import published

IMAGE = np.random.default_rng(0).normal(size=(2, 65, 97, 3)).astype(np.float32)
CLASSES = 5
ENCODER = dict(
    width=192,
    num_heads=3,
    image_grid=(4, 4),
    position_resize="bilinear",
    pad=True,
    epsilon=1e-5,
)


def segmentor(decoder, num_classes=CLASSES, **fields):
    return Segmentor(
        ViT(**ENCODER | fields),
        Identity(),
        num_classes,
        decoder=decoder,
        size_divisor=16,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )


@pytest.fixture(scope="module")
def torch_vit(torch):
    from tests.models import torch_vit

    torch.manual_seed(0)
    return torch_vit


def published_segmenter(torch_vit, decoder, depth=12, side=4, extra=1):
    encoder = torch_vit.ViT(
        192, depth, 3, 16, side, torch_vit.bilinear, epsilon=1e-5, extra=extra
    )
    return published.randomise(torch_vit.Segmenter(encoder, decoder))


@pytest.fixture(scope="module")
def with_masks(torch, torch_vit):
    """Seg-Ti-Mask/16: its arrays and its logits."""
    decoder = torch_vit.MaskTransformer(192, 192, 3, CLASSES)
    theirs = published_segmenter(torch_vit, decoder)
    with torch.no_grad():
        return published.tensors_of(theirs), theirs(published.to_torch(IMAGE))


@pytest.mark.parametrize("train", [False, True])
def test_mask_transformer(with_masks, train):
    tensors, expected = with_masks
    model = segmentor(MaskTransformer(192, num_heads=3, dropout=0.0))
    tensors = {f"module.{name}": tensor for name, tensor in tensors.items()}
    variables = published.loaded(model, tensors, IMAGE)
    outputs = published.apply(model, variables, IMAGE, train=train)
    assert outputs.logits.shape == (2, 65, 97, CLASSES)
    assert outputs.coarse.shape == (2, 5, 7, CLASSES)
    assert published.relative_difference(outputs.logits, expected) < 1e-4


def test_linear_decoder_on_distilled_deit(torch, torch_vit):
    decoder = torch_vit.LinearDecoder(192, CLASSES)
    theirs = published_segmenter(torch_vit, decoder, depth=2, extra=2)
    with torch.no_grad():
        expected = theirs(published.to_torch(IMAGE))
    model = segmentor(None, depth=2, distillation_token=True)
    variables = published.loaded(model, published.tensors_of(theirs), IMAGE)
    outputs = published.apply(model, variables, IMAGE, train=False)
    assert published.relative_difference(outputs.logits, expected) < 1e-4


@pytest.mark.parametrize(
    "field, value",
    [("position_resize", "bicubic"), ("pad", False), ("epsilon", 1e-6)],
)
def test_conventions_that_names_do_not_show(with_masks, field, value):
    tensors, _ = with_masks
    model = segmentor(MaskTransformer(192, num_heads=3), **{field: value})
    with pytest.raises(ValueError, match=f"made for backbone.{field} "):
        published.loaded(model, tensors, IMAGE)


@pytest.mark.parametrize("num_classes", [19, 150])
def test_as_many_parameters_as_the_published_network(torch, torch_vit, num_classes):
    with torch.device("meta"):
        decoder = torch_vit.MaskTransformer(192, 192, 3, num_classes)
        encoder = torch_vit.ViT(192, 12, 3, 16, 32, torch_vit.bilinear)
    theirs = torch_vit.Segmenter(encoder, decoder)
    wanted = sum(
        parameter.numel()
        for name, parameter in theirs.named_parameters()
        if not name.startswith("encoder.head")
    )
    decoder = MaskTransformer(192, num_heads=3)
    model = segmentor(decoder, num_classes, image_grid=(32, 32))
    assert num_parameters(model) == wanted
