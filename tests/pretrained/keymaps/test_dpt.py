"""DPT against Hugging Face's, and against torch by the names of its authors."""

import jax
import numpy as np
import pytest

from jaxseg.models.backbones.vit import ViT
from jaxseg.models.heads.dpt import DPT, Reassemble
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained.load import fill
from tests.models.fill import filled, num_parameters
from tests.pretrained import published

CLASSES = 5
ENCODER = dict(
    width=48,
    depth=4,
    num_heads=3,
    image_grid=(4, 4),
    position_resize="bilinear",
    taps=(0, 1, 2, 3),
    final_norm=False,
    readout="project",
)
HEAD = dict(features=16, reassembled=(8, 12, 16, 20), dropout=0.0)


def picture(height, width):
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, height, width, 3)).astype(np.float32)


def segmentor(head, encoder=ENCODER, num_classes=CLASSES):
    return Segmentor(
        ViT(**encoder),
        head,
        num_classes,
        align_corners=True,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )


@pytest.fixture(scope="module")
def torch_vit(torch):
    from tests.models import torch_vit

    torch.manual_seed(0)
    return torch_vit


def hugging_face(transformers, *, use_norm):
    config = transformers.DPTConfig(
        hidden_size=48,
        num_hidden_layers=4,
        num_attention_heads=3,
        intermediate_size=192,
        image_size=64,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=list(HEAD["reassembled"]),
        fusion_hidden_size=HEAD["features"],
        use_batch_norm_in_fusion_residual=use_norm,
        semantic_classifier_dropout=0.0,
        num_labels=CLASSES,
    )
    return published.randomise(transformers.DPTForSemanticSegmentation(config))


def hugging_face_logits(torch, theirs, image, *, train):
    """The logits, and what they were before their enlargement."""
    coarse = []
    handle = theirs.head.head[4].register_forward_hook(
        lambda module, inputs, output: coarse.append(output)
    )
    with torch.no_grad():
        logits = theirs.train(train)(published.to_torch(image)).logits
    handle.remove()
    return logits, coarse[0]


@pytest.mark.parametrize("use_norm", [True, False])
@pytest.mark.parametrize("train", [False, True])
def test_hugging_face(torch, transformers, use_norm, train):
    torch.manual_seed(0)
    theirs = hugging_face(transformers, use_norm=use_norm)
    image = picture(64, 64)
    tensors = published.tensors_of(theirs)
    logits, coarse = hugging_face_logits(torch, theirs, image, train=train)
    model = segmentor(DPT(**HEAD, use_norm=use_norm))
    variables = published.loaded(model, tensors, image)
    outputs = published.apply(model, variables, image, train=train)
    assert published.relative_difference(outputs.coarse, coarse) < 1e-4
    assert published.relative_difference(outputs.logits, logits) < 1e-4


def test_hugging_face_on_a_grid_that_does_not_halve(torch, transformers):
    """Five patches a side and some pixels over; theirs take squares only."""
    torch.manual_seed(0)
    theirs = hugging_face(transformers, use_norm=True)
    image = picture(85, 85)
    _, coarse = hugging_face_logits(torch, theirs, image, train=False)
    model = segmentor(DPT(**HEAD))
    variables = published.loaded(model, published.tensors_of(theirs), image)
    outputs = published.apply(model, variables, image, train=False)
    assert published.relative_difference(outputs.coarse, coarse) < 1e-4
    assert outputs.logits.shape == (2, 85, 85, CLASSES)


def published_dpt(torch_vit, depth, taps, **last):
    encoder = torch_vit.ViT(48, depth, 3, 16, 4, torch_vit.bilinear)
    theirs = torch_vit.DPT(encoder, taps, HEAD["reassembled"], HEAD["features"], **last)
    return published.randomise(theirs).eval()


@pytest.mark.parametrize("train", [False, True])
def test_authors_names(torch, torch_vit, train):
    theirs = published_dpt(torch_vit, 4, ENCODER["taps"], classes=CLASSES)
    tensors = published.tensors_of(theirs)
    image = picture(65, 97)
    with torch.no_grad():
        expected = theirs.train(train)(published.to_torch(image))
    model = segmentor(DPT(**HEAD))
    variables = published.loaded(model, tensors, image)
    outputs = published.apply(model, variables, image, train=train)
    assert published.relative_difference(outputs.coarse, expected) < 1e-4


def test_lseg(torch, torch_vit):
    """No class of its own: it ends in an embedding, beside CLIP's text tower."""
    theirs = published_dpt(torch_vit, 4, ENCODER["taps"], embedding=24)
    image = picture(65, 97)
    with torch.no_grad():
        expected = theirs(published.to_torch(image))
    tensors = published.tensors_of(theirs) | {"clip_pretrained.logit_scale": np.ones(1)}
    tensors = {f"net.{name}": tensor for name, tensor in tensors.items()}
    model = segmentor(DPT(**HEAD, refine=False, embedding=24))
    variables = published.loaded(model, tensors, image)
    outputs = published.apply(model, variables, image, train=False)
    assert published.relative_difference(outputs.features, expected) < 1e-4


def test_sazs_needs_twelve_blocks_and_one_tap(torch, torch_vit):
    theirs = published_dpt(torch_vit, 14, (5, 11, 12, 13), embedding=24)
    image = picture(65, 97)
    with torch.no_grad():
        expected = list(theirs.reassembled(published.to_torch(image)))[1]
    edges = {"edgeocr_cls_head.weight": np.zeros((1, 12, 1, 1))}
    edges |= {"edgeocr_cls_head.bias": np.zeros(1)}
    model = segmentor(Reassemble(12, 2), ENCODER | dict(depth=12, taps=(11,)))
    variables = published.loaded(model, published.tensors_of(theirs) | edges, image)
    outputs = published.apply(model, variables, image, train=False)
    assert published.relative_difference(outputs.features, expected) < 1e-4


def test_another_way_to_resize_positions_is_refused(torch, torch_vit):
    tensors = published.tensors_of(
        published_dpt(torch_vit, 4, ENCODER["taps"], classes=CLASSES)
    )
    model = segmentor(DPT(**HEAD), ENCODER | dict(position_resize="bicubic"))
    variables = filled(model, picture(64, 64), train=False)
    with pytest.raises(ValueError, match="backbone.position_resize 'bilinear'"):
        fill(tensors, model, variables["params"], {}, source="a file")


LARGE = dict(width=1024, depth=24, num_heads=16, image_grid=(24, 24))


@pytest.mark.parametrize("num_classes", [19, 150])
def test_as_many_parameters_as_the_published_large_one(
    torch, transformers, num_classes
):
    """Of `Intel/dpt-large-ade`'s sizes, without what only its training uses."""
    config = transformers.DPTConfig(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        backbone_out_indices=[5, 11, 17, 23],
        neck_hidden_sizes=[256, 512, 1024, 1024],
        use_batch_norm_in_fusion_residual=True,
        use_auxiliary_head=False,
        num_labels=num_classes,
    )
    with torch.device("meta"):
        theirs = transformers.DPTForSemanticSegmentation(config)
    unused = ("dpt.layernorm", "neck.fusion_stage.layers.0.residual_layer1")
    wanted = sum(
        parameter.numel()
        for name, parameter in theirs.named_parameters()
        if not name.startswith(unused)
    )
    model = segmentor(DPT(), ENCODER | LARGE | dict(taps=(5, 11, 17, 23)), num_classes)
    with jax.default_device(jax.devices("cpu")[0]):
        assert num_parameters(model) == wanted
