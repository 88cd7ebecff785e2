"""MaskFormer against Hugging Face's, through the key map that files are read with."""

import copy
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.resnet import ResNet
from jaxseg.models.backbones.tiny import Tiny
from jaxseg.models.heads.maskformer import MaskFormerDecoder, PixelDecoder
from jaxseg.models.segmentor import Segmentor
from jaxseg.pretrained.keymaps.maskformer import KEY_MAPS
from jaxseg.pretrained.load import fill
from tests.models.fill import num_parameters, shapes_of
from tests.pretrained import published

CLASSES, LAYERS = 5, 3
SMALL = dict(num_queries=7, depth=LAYERS, num_heads=4, hidden=48, width=64)
PYRAMID = dict(features=64, mask_features=32)
IMAGE = np.random.default_rng(0).integers(0, 256, (2, 65, 97, 3)).astype(np.float32)


def segmentor(depth=18, width=8, num_classes=CLASSES, pyramid=PYRAMID, decoder=SMALL):
    return Segmentor(
        ResNet(depth, output_stride=32, width=width),
        PixelDecoder(**pyramid),
        num_classes,
        decoder=MaskFormerDecoder(**decoder | dict(dropout=0.0)),
    )


MODEL = segmentor()


def hugging_face(transformers, *, depth=18, width=8):
    """Hugging Face's module of the same sizes as `segmentor()`."""
    wide = width if depth == 18 else 4 * width
    backbone = transformers.ResNetConfig(
        depths=[2, 2, 2, 2] if depth == 18 else [3, 4, 6, 3],
        layer_type="basic" if depth == 18 else "bottleneck",
        embedding_size=width,
        hidden_sizes=[wide * 2**stage for stage in range(4)],
        out_features=[f"stage{stage}" for stage in range(1, 5)],
    )
    transformer = transformers.DetrConfig(
        d_model=SMALL["width"],
        decoder_layers=SMALL["depth"],
        decoder_attention_heads=SMALL["num_heads"],
        decoder_ffn_dim=SMALL["hidden"],
        num_queries=SMALL["num_queries"],
        dropout=0.0,
    )
    config = transformers.MaskFormerConfig(
        backbone_config=backbone,
        decoder_config=transformer,
        fpn_feature_size=PYRAMID["features"],
        mask_feature_size=PYRAMID["mask_features"],
        num_labels=CLASSES,
    )
    return transformers.MaskFormerForInstanceSegmentation(config)


@pytest.fixture(scope="module")
def theirs(torch, transformers):
    torch.manual_seed(0)
    return published.randomise(hugging_face(transformers))


@pytest.fixture(scope="module")
def variables(theirs):
    """Ours, from Hugging Face's arrays."""
    return published.loaded(MODEL, published.tensors_of(theirs), IMAGE)


@pytest.fixture(scope="module")
def ours(variables):
    """Our outputs, in evaluation and in training."""
    return {
        train: published.apply(MODEL, variables, IMAGE, train=train)
        for train in (False, True)
    }


def run(torch, module, *, train):
    pixels = (IMAGE - np.asarray(MODEL.mean)) / np.asarray(MODEL.std)
    module = copy.deepcopy(module).train(train)  # its running statistics will move
    with torch.no_grad():
        return module(published.to_torch(pixels.astype(np.float32)))


def assert_close(ours, theirs):
    assert published.relative_difference(ours, theirs) < 1e-4


@pytest.mark.parametrize("train", [False, True])
def test_classes_and_masks_equal_hugging_face(torch, theirs, ours, train):
    outputs = ours[train]
    wanted = run(torch, theirs, train=train)
    assert_close(outputs.features, wanted.pixel_decoder_last_hidden_state)
    queries = outputs.queries
    assert len(queries.class_logits) == (LAYERS if train else 1)
    assert_close(queries.class_logits[-1], wanted.class_queries_logits)
    masks = np.moveaxis(queries.mask_logits[-1], 1, -1)
    assert_close(masks, wanted.masks_queries_logits)


def test_the_queries_of_every_layer_equal_those_of_shallower_networks(
    torch, theirs, ours
):
    """Hugging Face's own auxiliary outputs lack the normalisation of the paper's."""
    queries = ours[True].queries
    decoder = theirs.model.transformer_module.decoder
    layers = decoder.layers
    try:
        for index in range(LAYERS):
            decoder.layers = layers[: index + 1]
            wanted = run(torch, theirs, train=True)
            assert_close(queries.class_logits[index], wanted.class_queries_logits)
            masks = np.moveaxis(queries.mask_logits[index], 1, -1)
            assert_close(masks, wanted.masks_queries_logits)
    finally:
        decoder.layers = layers


def test_the_class_map_is_that_of_the_authors_inference(torch, theirs, ours):
    wanted = run(torch, theirs, train=False)
    masks = torch.nn.functional.interpolate(
        wanted.masks_queries_logits, IMAGE.shape[1:3], mode="bilinear"
    )
    classes = wanted.class_queries_logits.softmax(-1)[..., :-1]
    assert_close(
        ours[False].logits, torch.einsum("bqc,bqhw->bchw", classes, masks.sigmoid())
    )


def test_bottlenecks_equal_hugging_face(torch, transformers):
    torch.manual_seed(0)
    theirs = published.randomise(hugging_face(transformers, depth=50, width=4))
    model = segmentor(depth=50, width=4)
    variables = published.loaded(model, published.tensors_of(theirs), IMAGE)
    outputs = published.apply(model, variables, IMAGE, train=False)
    wanted = run(torch, theirs, train=False)
    assert_close(outputs.stages[-1], wanted.encoder_last_hidden_state)
    assert_close(outputs.queries.class_logits[-1], wanted.class_queries_logits)


def filled_from(model, tensors):
    shapes = shapes_of(model, jnp.zeros((1, 64, 64, 3)))
    blank = jax.tree.map(lambda s: np.broadcast_to(np.float32(0), s.shape), shapes)
    params, stats = blank["params"], blank["batch_stats"]
    return fill(tensors, model, params, stats, source="a file")


def in_files(name):
    """What a file calls what the module in memory calls `name`."""
    return name.replace("o_proj", "out_proj").replace(".mlp.", ".")


@pytest.mark.parametrize("rename", [str, in_files])
def test_every_array_of_the_published_network_has_a_place(torch, transformers, rename):
    backbone = transformers.ResNetConfig(
        out_features=[f"stage{stage}" for stage in range(1, 5)]
    )
    config = transformers.MaskFormerConfig(backbone_config=backbone, num_labels=150)
    with torch.device("meta"):
        module = transformers.MaskFormerForInstanceSegmentation(config)
    tensors = {
        rename(name): np.broadcast_to(np.float32(0), tensor.shape)
        for name, tensor in module.state_dict().items()
    }
    model = segmentor(50, 64, 150, pyramid={}, decoder={})
    report = filled_from(model, tensors)[2]
    assert not report.kept and not report.surplus
    assert num_parameters(model) == sum(p.numel() for p in module.parameters())


# Hugging Face's names and those of the authors, who build on Detectron2.
AUTHORS = (
    (r"model\.pixel_level_module\.encoder\.", "backbone."),
    (r"embedder\.embedder\.", "stem.conv1."),
    (r"encoder\.stages\.(\d)\.layers", lambda m: f"res{int(m[1]) + 2}"),
    (r"layer\.(\d)\.(conv|norm)", lambda m: f"conv{int(m[1]) + 1}.{m[2]}"),
    (r"convolution\.", ""),
    (r"normalization", "norm"),
    (r"model\.pixel_level_module\.decoder\.", "sem_seg_head.pixel_decoder."),
    (r"fpn\.stem\.", "layer_4."),
    (r"fpn\.layers\.(\d)\.proj\.", lambda m: f"adapter_{3 - int(m[1])}."),
    (r"fpn\.layers\.(\d)\.block\.", lambda m: f"layer_{3 - int(m[1])}."),
    (r"((?:adapter|layer)_\d)\.0", r"\1"),
    (r"((?:adapter|layer)_\d)\.1", r"\1.norm"),
    (r"mask_projection", "mask_features"),
    (
        r"model\.transformer_module\.decoder",
        "sem_seg_head.predictor.transformer.decoder",
    ),
    (r"model\.transformer_module\.", "sem_seg_head.predictor."),
    (r"queries_embedder", "query_embed"),
    (r"input_projection", "input_proj"),
    (r"encoder_attn\.", "multihead_attn."),
    (r"o_proj", "out_proj"),
    (r"([qkv])_proj\.(weight|bias)", r"in_proj_\2.\1"),
    (r"self_attn_layer_norm", "norm1"),
    (r"encoder_attn_layer_norm", "norm2"),
    (r"final_layer_norm", "norm3"),
    (r"mlp\.fc(\d)", r"linear\1"),
    (r"layernorm", "norm"),
    (r"class_predictor", "sem_seg_head.predictor.class_embed"),
    (r"mask_embedder\.(\d)\.0", r"sem_seg_head.predictor.mask_embed.layers.\1"),
)


def as_the_authors_name(tensors):
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, other in AUTHORS:
            name = re.sub(pattern, other, name)
        renamed[name] = tensor
    for name in [name for name in renamed if name.endswith(".q")]:
        whole = name.removesuffix(".q")
        renamed[whole] = np.concatenate([renamed.pop(f"{whole}.{i}") for i in "qkv"])
    return renamed


def test_the_authors_names_mean_the_same(theirs, variables):
    tensors = as_the_authors_name(published.tensors_of(theirs))
    samples = (
        "backbone.res2.0.conv1.norm.running_var",
        "sem_seg_head.pixel_decoder.adapter_1.norm.weight",
        "sem_seg_head.pixel_decoder.layer_4.weight",
        "sem_seg_head.predictor.transformer.decoder.layers.2.multihead_attn.in_proj_bias",
        "sem_seg_head.predictor.transformer.decoder.norm.weight",
        "sem_seg_head.predictor.mask_embed.layers.2.bias",
    )
    assert set(samples) < set(tensors)
    params, stats, report = filled_from(MODEL, tensors)
    assert report.title == "MaskFormer's authors" and not report.kept
    same = jax.tree.map(np.array_equal, (params, stats), tuple(variables.values()))
    assert all(jax.tree.leaves(same))


def test_the_authors_deep_stem_has_three_convolutions():
    names = [f"backbone.stem.conv{i}.norm.weight" for i in (1, 2, 3)]
    renamed = KEY_MAPS[1].rename({name: np.ones(2) for name in names})
    paths = [("params", "backbone", f"stem_{i}", "norm", "scale") for i in range(3)]
    assert list(renamed.arrays) == paths and not renamed.unknown


def test_another_backbone_is_refused(theirs):
    other = Segmentor(Tiny(), MODEL.head, CLASSES, decoder=MODEL.decoder)
    with pytest.raises(ValueError, match="holds another network"):
        filled_from(other, published.tensors_of(theirs))
