"""Segmenter's checkpoints, with the mask transformer or with the linear decoder."""

from jaxseg.pretrained.keymap import KeyMap, Rule, linear_rules, norm_rules
from jaxseg.pretrained.keymaps.vit import block_rules, plain_rules

KEY_MAPS = (
    KeyMap(
        "Segmenter authors",
        rules=(
            *plain_rules(r"encoder\."),
            Rule(r"decoder\.cls_emb", "decoder/class_embedding"),
            # They multiply from the right, unlike PyTorch's linear maps.
            Rule(r"decoder\.proj_patch", "decoder/patch_projection"),
            Rule(r"decoder\.proj_classes", "decoder/class_projection"),
            *linear_rules(r"decoder\.proj_dec", "decoder/embed"),
            *block_rules(r"decoder\.blocks\.(\d+)", r"decoder/blocks_\1"),
            *norm_rules(r"decoder\.decoder_norm", "decoder/norm"),
            *norm_rules(r"decoder\.mask_norm", "decoder/mask_norm"),
            *linear_rules(r"decoder\.head", "classifier"),
        ),
        ignored=(r"encoder\.head(?:_dist)?\..*", r"encoder\.pre_logits\..*"),
        expects={
            "backbone.position_resize": "bilinear",
            "backbone.pad": True,
            "backbone.epsilon": 1e-5,
        },
    ),
)
