"""SegFormer: the names of Hugging Face and of the authors.

What mmseg trained itself, with names such as `layers.0.1.0.attn` and `fusion_conv`, is
not here: its heads have more normalisations than SegFormer's.
"""

import re
from collections.abc import Mapping

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    linear_rules,
    norm_rules,
)

NUM_STAGES = 4

# Our names of a block's parts and those of Hugging Face's files,
HUGGING_FACE = {
    "norm1": "layer_norm_1",
    "attention/query": "attention.self.query",
    "attention/key_value[0/2]": "attention.self.key",
    "attention/key_value[1/2]": "attention.self.value",
    "attention/reduce": "attention.self.sr",
    "attention/reduce_norm": "attention.self.layer_norm",
    "attention/out": "attention.output.dense",
    "norm2": "layer_norm_2",
    "mlp/fc1": "mlp.dense1",
    "mlp/depthwise": "mlp.dwconv.dwconv",
    "mlp/fc2": "mlp.dense2",
}
# of the modules of transformers 5, which a state_dict has,
MODULES = {
    "norm1": "layernorm_before",
    "attention/query": "attention.q_proj",
    "attention/key_value[0/2]": "attention.k_proj",
    "attention/key_value[1/2]": "attention.v_proj",
    "attention/reduce": "attention.sequence_reduction.sequence_reduction",
    "attention/reduce_norm": "attention.sequence_reduction.layer_norm",
    "attention/out": "attention.o_proj",
    "norm2": "layernorm_after",
    "mlp/fc1": "mlp.fc1",
    "mlp/depthwise": "mlp.dwconv.dwconv",
    "mlp/fc2": "mlp.fc2",
}
# and of the authors, who keep keys and values in one piece as we do.
AUTHORS = {
    "norm1": "norm1",
    "attention/query": "attn.q",
    "attention/key_value": "attn.kv",
    "attention/reduce": "attn.sr",
    "attention/reduce_norm": "attn.norm",
    "attention/out": "attn.proj",
    "norm2": "norm2",
    "mlp/fc1": "mlp.fc1",
    "mlp/depthwise": "mlp.dwconv.dwconv",
    "mlp/fc2": "mlp.fc2",
}


def _backbone_rules(
    *,
    conv: str,
    conv_norm: str,
    block: str,
    parts: Mapping[str, str],
    norm: str,
    first: int = 0,
) -> tuple[Rule, ...]:
    """The rules of a MiT; `#` in the patterns is the stage's number, from `first`."""
    rules: list[Rule] = []
    for stage in range(NUM_STAGES):
        ours, theirs = f"backbone/stage{stage}", str(stage + first)
        rules += linear_rules(conv.replace("#", theirs), f"{ours}_embedding/conv")
        rules += norm_rules(conv_norm.replace("#", theirs), f"{ours}_embedding/norm")
        rules += norm_rules(norm.replace("#", theirs), f"{ours}_norm")
        for part, name in parts.items():
            pattern = rf"{block.replace('#', theirs)}\.(\d+)\.{re.escape(name)}"
            rules += _part_rules(pattern, rf"{ours}_block\1/{part}")
    return tuple(rules)


def _part_rules(pattern: str, path: str) -> tuple[Rule, ...]:
    """The rules of a normalisation or of a linear map, whole or a piece of ours."""
    if re.search(r"norm\d?$", path):
        return norm_rules(pattern, path)
    whole, bracket, piece = path.partition("[")
    return tuple(
        Rule(rule.pattern, rule.path + bracket + piece)
        for rule in linear_rules(pattern, whole)
    )


def _head_rules(
    linear: str, fuse: str, norm: str, classifier: str, first: int = 0
) -> tuple[Rule, ...]:
    """The rules of the head and the classifier; `#` as for the backbone."""
    rules: list[Rule] = []
    for stage in range(NUM_STAGES):
        pattern = linear.replace("#", str(stage + first))
        rules += linear_rules(rf"decode_head\.{pattern}", f"head/linear{stage}")
    rules += linear_rules(rf"decode_head\.{fuse}", "head/fuse")
    rules += norm_rules(rf"decode_head\.{norm}", "head/norm")
    rules += linear_rules(rf"decode_head\.{classifier}", "classifier")
    return tuple(rules)


KEY_MAPS = (
    KeyMap(
        title="Hugging Face SegFormer",
        rules=(
            *_backbone_rules(
                conv=r"encoder\.patch_embeddings\.#\.proj",
                conv_norm=r"encoder\.patch_embeddings\.#\.layer_norm",
                block=r"encoder\.block\.#",
                parts=HUGGING_FACE,
                norm=r"encoder\.layer_norm\.#",
            ),
            *_head_rules(
                r"linear_c\.#\.proj", "linear_fuse", "batch_norm", "classifier"
            ),
        ),
        # The classifier is that of SegformerForImageClassification.
        ignored=(COUNTERS, r"classifier\.(weight|bias)"),
        prefixes=("module.", "segformer."),
        usual={"backbone.epsilon": 1e-5},
    ),
    KeyMap(
        title="transformers 5 SegFormer",
        rules=(
            *_backbone_rules(
                conv=r"stages\.#\.patch_embeddings\.proj",
                conv_norm=r"stages\.#\.patch_embeddings\.layer_norm",
                block=r"stages\.#\.blocks",
                parts=MODULES,
                norm=r"stages\.#\.layer_norm",
            ),
            *_head_rules(
                r"linear_projections\.#\.proj",
                "linear_fuse",
                "batch_norm",
                "classifier",
            ),
        ),
        ignored=(COUNTERS, r"classifier\.(weight|bias)"),
        prefixes=("module.", "segformer."),
        usual={"backbone.epsilon": 1e-5},
    ),
    KeyMap(
        title="SegFormer's authors",
        usual={"backbone.epsilon": 1e-6},
        rules=(
            *_backbone_rules(
                conv=r"patch_embed#\.proj",
                conv_norm=r"patch_embed#\.norm",
                block="block#",
                parts=AUTHORS,
                norm="norm#",
                first=1,
            ),
            *_head_rules(
                r"linear_c#\.proj",
                r"linear_fuse\.conv",
                r"linear_fuse\.bn",
                "linear_pred",
                first=1,
            ),
        ),
        # The head of the ImageNet classifier, and one that mmseg makes for every net.
        ignored=(COUNTERS, r"(head|decode_head\.conv_seg)\.(weight|bias)"),
        prefixes=("module.", "backbone."),
    ),
)
