"""Vision transformers of timm (DeiT, DINO, MAE), Hugging Face, the original release.

`plain_rules` and `hugging_face_rules` also serve the networks that have one inside.
"""

import re
from collections.abc import Mapping

import numpy as np

from jaxseg.pretrained.keymap import (
    KeyMap,
    Renamed,
    Rule,
    linear_rules,
    norm_rules,
)


def block_rules(pattern: str, path: str) -> tuple[Rule, ...]:
    """The rules of blocks by timm's names, the number being the pattern's group."""
    return (
        *norm_rules(rf"{pattern}\.norm1", f"{path}/norm1"),
        *linear_rules(rf"{pattern}\.attn\.qkv", f"{path}/attention/qkv"),
        *linear_rules(rf"{pattern}\.attn\.proj", f"{path}/attention/out"),
        *norm_rules(rf"{pattern}\.norm2", f"{path}/norm2"),
        *linear_rules(rf"{pattern}\.mlp\.fc1", f"{path}/mlp/fc1"),
        *linear_rules(rf"{pattern}\.mlp\.fc2", f"{path}/mlp/fc2"),
    )


def plain_rules(prefix: str = "", norm: str = "norm") -> tuple[Rule, ...]:
    """The rules of a backbone by timm's names; the prefix and `norm` are patterns."""
    return (
        Rule(f"{prefix}cls_token", "backbone/class_embedding"),
        Rule(f"{prefix}dist_token", "backbone/distillation_embedding"),
        Rule(f"{prefix}pos_embed", "backbone/position_embedding"),
        *linear_rules(rf"{prefix}patch_embed\.proj", "backbone/patch_embedding"),
        *block_rules(rf"{prefix}blocks\.(\d+)", r"backbone/blocks_\1"),
        *norm_rules(f"{prefix}{norm}", "backbone/norm"),
    )


def hugging_face_rules(prefix: str = "") -> tuple[Rule, ...]:
    """The rules of a backbone by the names of Hugging Face's files.

    Its code has, since version 5, shorter ones for the same arrays: `layers.0` for
    `encoder.layer.0`, `q_proj` for `attention.query`, `mlp.fc1` for `intermediate`.
    """
    layer, path = rf"{prefix}(?:encoder\.layer|layers)\.(\d+)", r"backbone/blocks_\1"
    embeddings = rf"{prefix}embeddings\."
    projections = (
        rule
        for index, (name, short) in enumerate(
            (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"))
        )
        for rule in (
            Rule(
                rf"{layer}\.attention\.(?:attention\.{name}|{short})\.weight",
                rf"{path}/attention/qkv/kernel[{index}/3]",
            ),
            Rule(
                rf"{layer}\.attention\.(?:attention\.{name}|{short})\.bias",
                rf"{path}/attention/qkv/bias[{index}/3]",
            ),
        )
    )
    out = rf"{layer}\.attention\.(?:output\.dense|o_proj)"
    return (
        Rule(rf"{embeddings}cls_token", "backbone/class_embedding"),
        Rule(rf"{embeddings}distillation_token", "backbone/distillation_embedding"),
        Rule(rf"{embeddings}position_embeddings", "backbone/position_embedding"),
        *linear_rules(
            rf"{embeddings}patch_embeddings\.projection", "backbone/patch_embedding"
        ),
        *projections,
        *linear_rules(out, f"{path}/attention/out"),
        *norm_rules(rf"{layer}\.layernorm_before", f"{path}/norm1"),
        *norm_rules(rf"{layer}\.layernorm_after", f"{path}/norm2"),
        *linear_rules(rf"{layer}\.(?:intermediate\.dense|mlp\.fc1)", f"{path}/mlp/fc1"),
        *linear_rules(rf"{layer}\.(?:output\.dense|mlp\.fc2)", f"{path}/mlp/fc2"),
        *norm_rules(rf"{prefix}layernorm", "backbone/norm"),
    )


class JaxRelease(KeyMap):
    """The original release, whose attention has the heads in an axis of their own."""

    def rename(self, tensors: Mapping[str, np.ndarray]) -> Renamed:
        """Joins the axes of heads and of their channels, then sorts as others do."""
        return super().rename(
            {name: self._joined(name, tensor) for name, tensor in tensors.items()}
        )

    def _joined(self, name: str, tensor: np.ndarray) -> np.ndarray:
        match = re.fullmatch(r".*/MultiHead\w+/(\w+)/(\w+)", name)
        if not match:
            return tensor
        part, leaf = match.groups()
        if part == "out":
            return tensor if leaf == "bias" else tensor.reshape(-1, tensor.shape[-1])
        return tensor.reshape(-1) if leaf == "bias" else tensor.reshape(len(tensor), -1)


def _release_rules() -> tuple[Rule, ...]:
    """The release names normalisations and maps as ours are; only their order tells."""
    block, path = r"Transformer/encoderblock_(\d+)", r"backbone/blocks_\1"
    attention = rf"{block}/MultiHeadDotProductAttention_1"
    leaf = r"(kernel|bias|scale)"
    modules = (
        (rf"{block}/LayerNorm_0", f"{path}/norm1"),
        (rf"{attention}/out", f"{path}/attention/out"),
        (rf"{block}/LayerNorm_2", f"{path}/norm2"),
        (rf"{block}/MlpBlock_3/Dense_0", f"{path}/mlp/fc1"),
        (rf"{block}/MlpBlock_3/Dense_1", f"{path}/mlp/fc2"),
    )
    return (
        Rule("cls", "backbone/class_embedding"),
        Rule("Transformer/posembed_input/pos_embedding", "backbone/position_embedding"),
        Rule(f"embedding/{leaf}", r"backbone/patch_embedding/\1"),
        Rule(f"Transformer/encoder_norm/{leaf}", r"backbone/norm/\1"),
        *(Rule(f"{old}/{leaf}", rf"{new}/\2") for old, new in modules),
        *(
            Rule(f"{attention}/{name}/{leaf}", rf"{path}/attention/qkv/\2[{index}/3]")
            for index, name in enumerate(("query", "key", "value"))
        ),
    )


# The last ones are MAE's decoder and DINO's projection, which is called a head, too.
PLAIN_IGNORED = (
    r"head\..*",
    r"head_dist\..*",
    r"pre_logits\..*",
    r"mask_token",
    r"decoder_.*",
)
# "module." is what data-parallel training adds, "backbone." DINO and SERE.
PLAIN_PREFIXES = ("module.", "teacher.", "module.", "backbone.")

KEY_MAPS = (
    KeyMap(
        "ViT by timm's names (DeiT, DINO, MAE)",
        rules=plain_rules(),
        ignored=PLAIN_IGNORED,
        prefixes=PLAIN_PREFIXES,
    ),
    # Fine-tuned MAE and the semi-supervised networks of LUSS normalise patches only;
    # the normalisation of all tokens, if the file has one, is left over from before.
    KeyMap(
        "ViT by timm's names with fc_norm (MAE and LUSS fine-tuned)",
        rules=plain_rules(norm="fc_norm"),
        ignored=(*PLAIN_IGNORED, r"norm\..*"),
        prefixes=PLAIN_PREFIXES,
    ),
    KeyMap(
        "Hugging Face ViT",
        rules=hugging_face_rules(),
        ignored=(
            r"pooler\..*",
            r"(?:cls_|distillation_)?classifier\..*",
            r"embeddings\.mask_token",
        ),
        prefixes=("module.", "vit.", "deit."),
    ),
    JaxRelease(
        "ViT of the original release (.npz)",
        rules=_release_rules(),
        ignored=(r"head/.*", r"pre_logits/.*"),
        channels_last=True,
    ),
)
