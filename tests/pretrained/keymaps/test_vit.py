"""Plain vision transformers against torch, through the key maps of their publishers."""

import re

import numpy as np
import pytest

from jaxseg.models.backbones.vit import ViT
from jaxseg.models.heads.identity import Identity
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained.keymaps.vit import KEY_MAPS
from jaxseg.pretrained.load import fill
from tests.models.fill import filled
from tests.pretrained import published

IMAGE = np.random.default_rng(0).normal(size=(2, 65, 97, 3)).astype(np.float32)
# ViT-Ti for images of 64 x 64.
TI = dict(width=192, num_heads=3, image_grid=(4, 4))
SMALL = TI | dict(width=24, depth=2)
TIMM, FC_NORM, HUGGING_FACE, RELEASE = KEY_MAPS


@pytest.fixture(scope="module")
def torch_vit(torch):
    from tests.models import torch_vit

    torch.manual_seed(0)
    return torch_vit


def segmentor(**fields):
    return Segmentor(
        ViT(**fields), Identity(), num_classes=3, mean=(0.0,) * 3, std=(1.0,) * 3
    )


def difference(fields, tensors, expected, *, image=IMAGE, train=False):
    """Of the last stage to what torch gives, after loading its arrays."""
    model = segmentor(**fields)
    variables = published.loaded(model, tensors, image)
    outputs = published.apply(model, variables, image, train=train)
    return published.relative_difference(outputs.stages[-1], expected)


@pytest.mark.parametrize("patch, fields", [(16, TI), (8, SMALL)])
def test_dino_and_timm(torch, torch_vit, patch, fields):
    depth, heads = fields.get("depth", 12), fields["num_heads"]
    theirs = torch_vit.ViT(
        fields["width"], depth, heads, patch, 4, torch_vit.dino_interpolate
    )
    theirs = published.randomise(theirs)
    with torch.no_grad():
        expected = theirs(published.to_torch(IMAGE))
    tensors = published.tensors_of(theirs)
    assert difference(fields | dict(patch_size=patch), tensors, expected) < 1e-4


def test_distilled_deit(torch, torch_vit):
    theirs = torch_vit.ViT(24, 2, 3, 16, 4, torch_vit.dino_interpolate, extra=2)
    tensors = published.tensors_of(theirs)
    tensors |= {"head_dist.weight": np.zeros((7, 24)), "head_dist.bias": np.zeros(7)}
    with torch.no_grad():
        expected = theirs(published.to_torch(IMAGE))
    fields = SMALL | dict(distillation_token=True)
    assert difference(fields, tensors, expected) < 1e-4


@pytest.mark.parametrize("position_resize", ["bicubic_antialias", "bicubic"])
def test_other_ways_to_resize_positions(torch, torch_vit, position_resize):
    def interpolate(table, size):
        return torch.nn.functional.interpolate(
            table,
            size,
            mode="bicubic",
            antialias=position_resize == "bicubic_antialias",
        )

    image = IMAGE[:, :33]  # two rows of patches, where the table has four
    theirs = torch_vit.ViT(24, 2, 3, 16, 4, interpolate)
    with torch.no_grad():
        expected = theirs(published.to_torch(image))
    fields = SMALL | dict(position_resize=position_resize)
    tensors = published.tensors_of(theirs)
    assert difference(fields, tensors, expected, image=image) < 1e-4


@pytest.fixture(scope="module")
def hugging_face(torch, transformers):
    """Their ViT-Ti, and what it makes of the images in evaluation and in training."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=192, num_attention_heads=3, intermediate_size=768, image_size=64
    )
    theirs = published.randomise(transformers.ViTModel(config))
    with torch.no_grad():
        tokens = {
            train: theirs.train(train)(
                published.to_torch(IMAGE), interpolate_pos_encoding=True
            ).last_hidden_state
            for train in (False, True)
        }
    maps = {
        train: x[:, 1:].transpose(1, 2).unflatten(2, (4, 6))
        for train, x in tokens.items()
    }
    return published.tensors_of(theirs), maps


@pytest.mark.parametrize("train", [False, True])
def test_hugging_face(hugging_face, train):
    tensors, maps = hugging_face
    fields = TI | dict(position_resize="bicubic", epsilon=1e-12)
    assert difference(fields, tensors, maps[train], train=train) < 1e-4


def test_names_in_hugging_faces_files(hugging_face):
    """Its code renames them when it reads: what we got from it is the new form."""
    tensors, _ = hugging_face
    old = (
        (r"^layers\.", "encoder.layer."),
        (r"attention\.([qkv])_proj", r"attention.attention.\1"),
        (r"attention\.o_proj", "attention.output.dense"),
        (r"mlp\.fc1", "intermediate.dense"),
        (r"mlp\.fc2", "output.dense"),
        (r"attention\.q\.", "attention.query."),
        (r"attention\.k\.", "attention.key."),
        (r"attention\.v\.", "attention.value."),
        (r"^", "vit."),
    )
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, replacement in old:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    assert "vit.encoder.layer.3.attention.attention.query.weight" in renamed
    assert "vit.encoder.layer.3.attention.output.dense.weight" in renamed
    assert_same(HUGGING_FACE.rename(renamed), HUGGING_FACE.rename(tensors))


def assert_same(one, other):
    assert not one.unknown and not other.unknown
    assert one.arrays.keys() == other.arrays.keys()
    for key, value in one.arrays.items():
        np.testing.assert_array_equal(value, other.arrays[key], err_msg=str(key))


@pytest.fixture(scope="module")
def small(torch_vit):
    """The arrays of a small ViT by timm's names, without a classifier."""
    theirs = torch_vit.ViT(24, 2, 3, 16, 4, torch_vit.dino_interpolate)
    tensors = published.tensors_of(published.randomise(theirs))
    return {k: v for k, v in tensors.items() if not k.startswith("head")}


def test_a_checkpoint_of_dino(small):
    """The teacher, with a projection whose names begin with head, too."""
    tensors = {f"module.backbone.{name}": value for name, value in small.items()}
    tensors |= {"module.head.mlp.0.weight": np.zeros((4, 24))}
    renamed = TIMM.rename(tensors)
    assert renamed.ignored == ("module.head.mlp.0.weight",)
    assert_same(renamed, TIMM.rename(small))


def test_patches_normalised_alone(small):
    """LUSS: the last normalisation has a name of its own, an older one may be left."""
    tensors = {name: value for name, value in small.items() if name[:5] != "norm."}
    tensors |= {"fc_norm.weight": np.full(24, 3.0), "fc_norm.bias": np.ones(24)}
    tensors |= {"norm.weight": np.zeros(24), "norm.bias": np.zeros(24)}
    variables = filled(segmentor(**SMALL), IMAGE, train=False)
    params, _, report = fill(
        tensors, segmentor(**SMALL), variables["params"], {}, source="a file"
    )
    np.testing.assert_array_equal(params["backbone"]["norm"]["scale"], np.full(24, 3.0))
    assert report.ignored == ("norm.bias", "norm.weight")
    assert report.title == FC_NORM.title


def test_the_original_release(small):
    """Its layout is ours but for an axis of the heads."""
    tensors = dict(release(small, heads=3)) | {"head/bias": np.zeros(7)}
    assert_same(RELEASE.rename(tensors), TIMM.rename(small))


def release(tensors, heads):
    """timm's names and layouts as the original ones."""
    modules = {
        "norm1": "LayerNorm_0",
        "norm2": "LayerNorm_2",
        "mlp.fc1": "MlpBlock_3/Dense_0",
        "mlp.fc2": "MlpBlock_3/Dense_1",
        "attn.proj": "MultiHeadDotProductAttention_1/out",
    }
    yield "cls", tensors["cls_token"]
    yield "Transformer/posembed_input/pos_embedding", tensors["pos_embed"]
    yield "embedding/kernel", tensors["patch_embed.proj.weight"].transpose(2, 3, 1, 0)
    yield "embedding/bias", tensors["patch_embed.proj.bias"]
    yield "Transformer/encoder_norm/scale", tensors["norm.weight"]
    yield "Transformer/encoder_norm/bias", tensors["norm.bias"]
    for name, value in tensors.items():
        match = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", name)
        if not match:
            continue
        number, module, leaf = match.groups()
        block = f"Transformer/encoderblock_{number}"
        kind = "bias" if leaf == "bias" else "kernel"
        if module == "attn.qkv":
            parts = zip(("query", "key", "value"), np.split(value, 3), strict=True)
            for part, piece in parts:
                piece = piece.T.reshape(*piece.shape[1:], heads, -1)
                yield f"{block}/MultiHeadDotProductAttention_1/{part}/{kind}", piece
            continue
        if value.ndim == 1:
            kind = "scale" if "norm" in module and leaf == "weight" else kind
        value = value.T
        if module == "attn.proj" and leaf == "weight":
            value = value.reshape(heads, -1, value.shape[-1])
        yield f"{block}/{modules[module]}/{kind}", value
