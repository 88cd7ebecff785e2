"""MaskFormer with a ResNet, of Hugging Face and of the authors (Detectron2)."""

from collections.abc import Iterator

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    conv_norm_rules,
    linear_rules,
    norm_rules,
)
from jaxseg.pretrained.keymaps.resnet import hugging_face_rules

TRANSFORMER = "decoder/transformer"


def _hugging_face() -> Iterator[Rule]:
    pixels, queries = r"model\.pixel_level_module", r"model\.transformer_module"
    yield from hugging_face_rules(rf"{pixels}\.encoder\.")

    pyramid = rf"{pixels}\.decoder\.fpn"
    yield from _numbered(rf"{pyramid}\.stem", "head/level_3/layer")
    for index, level in enumerate((2, 1, 0)):
        old, path = rf"{pyramid}\.layers\.{index}", f"head/level_{level}"
        yield from _numbered(rf"{old}\.proj", f"{path}/adapter")
        yield from _numbered(rf"{old}\.block", f"{path}/layer")
    yield from linear_rules(
        rf"{pixels}\.decoder\.mask_projection", "head/mask_features"
    )

    yield Rule(rf"{queries}\.queries_embedder\.weight", f"{TRANSFORMER}/query_embed")
    yield from linear_rules(
        rf"{queries}\.input_projection", f"{TRANSFORMER}/input_proj"
    )
    old, path = rf"{queries}\.decoder\.layers\.(\d+)", rf"{TRANSFORMER}/layer_\1"
    for part, name in (("self", "self_attention"), ("encoder", "cross_attention")):
        attention = rf"{old}\.{part}_attn"
        for index, letter in enumerate("qkv"):
            piece, linear = f"[{index}/3]", rf"{attention}\.{letter}_proj"
            yield Rule(rf"{linear}\.weight", f"{path}/{name}/qkv/kernel{piece}")
            yield Rule(rf"{linear}\.bias", f"{path}/{name}/qkv/bias{piece}")
        # Files say out_proj and fc1, the module in memory o_proj and mlp.fc1.
        yield from linear_rules(rf"{attention}\.o(?:ut)?_proj", f"{path}/{name}/out")
    for name in ("fc1", "fc2"):
        yield from linear_rules(rf"{old}\.(?:mlp\.)?{name}", f"{path}/{name}")
    norms = ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm")
    for index, norm in enumerate(norms, start=1):
        yield from norm_rules(rf"{old}\.{norm}", f"{path}/norm{index}")
    yield from norm_rules(rf"{queries}\.decoder\.layernorm", f"{TRANSFORMER}/norm")

    yield from linear_rules("class_predictor", "decoder/class_embed")
    yield from linear_rules(r"mask_embedder\.(\d)\.0", r"decoder/mask_embed_\1")


def _numbered(name: str, path: str) -> tuple[Rule, ...]:
    """The rules of a convolution `.0` and its normalisation `.1`."""
    return conv_norm_rules(rf"{name}\.0", rf"{name}\.1", path)


def _detectron2() -> Iterator[Rule]:
    yield from _detectron2_resnet("backbone")

    pixels, queries = r"sem_seg_head\.pixel_decoder", r"sem_seg_head\.predictor"
    for level in range(4):
        path = f"head/level_{level}"
        for name in ("adapter", "layer"):
            yield from _with_norm(rf"{pixels}\.{name}_{level + 1}", f"{path}/{name}")
    yield from linear_rules(rf"{pixels}\.mask_features", "head/mask_features")

    yield Rule(rf"{queries}\.query_embed\.weight", f"{TRANSFORMER}/query_embed")
    yield from linear_rules(rf"{queries}\.input_proj", f"{TRANSFORMER}/input_proj")
    old = rf"{queries}\.transformer\.decoder\.layers\.(\d+)"
    path = rf"{TRANSFORMER}/layer_\1"
    for part, name in (
        ("self_attn", "self_attention"),
        ("multihead_attn", "cross_attention"),
    ):
        attention = rf"{old}\.{part}"
        yield Rule(rf"{attention}\.in_proj_weight", f"{path}/{name}/qkv/kernel")
        yield Rule(rf"{attention}\.in_proj_bias", f"{path}/{name}/qkv/bias")
        yield from linear_rules(rf"{attention}\.out_proj", f"{path}/{name}/out")
    for index in (1, 2):
        yield from linear_rules(rf"{old}\.linear{index}", f"{path}/fc{index}")
    yield from norm_rules(rf"{old}\.norm(\d)", rf"{path}/norm\2")
    yield from norm_rules(
        rf"{queries}\.transformer\.decoder\.norm", f"{TRANSFORMER}/norm"
    )

    yield from linear_rules(rf"{queries}\.class_embed", "decoder/class_embed")
    yield from linear_rules(
        rf"{queries}\.mask_embed\.layers\.(\d)", r"decoder/mask_embed_\1"
    )


def _detectron2_resnet(prefix: str) -> Iterator[Rule]:
    for index in range(3):  # three in the deep stem of "R50c" and "R101c"
        stem = rf"{prefix}\.stem\.conv{index + 1}"
        yield from _with_norm(stem, f"backbone/stem_{index}")
    for stage in range(1, 5):
        block, path = (
            rf"{prefix}\.res{stage + 1}\.(\d+)",
            rf"backbone/layer{stage}_\1",
        )
        yield from _with_norm(rf"{block}\.shortcut", f"{path}/downsample")
        yield from _with_norm(rf"{block}\.conv(\d)", rf"{path}/conv\2")


def _with_norm(name: str, path: str) -> tuple[Rule, ...]:
    """The rules of a convolution with its normalisation inside, `.norm`."""
    return conv_norm_rules(name, rf"{name}\.norm", path)


IGNORED = (COUNTERS, r"criterion\.empty_weight", r"pixel_(mean|std)")

EXPECTS = {"backbone.stride_in": "3x3"}

KEY_MAPS = tuple(
    KeyMap(title, tuple(rules), IGNORED, expects=EXPECTS)
    for title, rules in (
        ("Hugging Face MaskFormer", _hugging_face()),
        ("MaskFormer's authors", _detectron2()),
    )
)
