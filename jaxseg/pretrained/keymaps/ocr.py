"""OCR as published: its attention, and the network on a ResNet.

That on an HRNet is in `hrnet`.
"""

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    conv_norm_rules,
    linear_rules,
)
from jaxseg.pretrained.keymaps.resnet import TORCHVISION, resnet_rules


def attention_rules(head: str) -> tuple[Rule, ...]:
    """The rules of a module of attention to the classes, by its published name."""
    block = rf"{head}\.object_context_block"
    rules: list[Rule] = []
    for name, paths in (
        ("f_pixel", ("query_0", "query_1")),
        ("f_object", ("key_0", "key_1")),
        ("f_down", ("value",)),
        ("f_up", ("output",)),
    ):
        for index, path in enumerate(paths):
            rules += conv_norm_rules(
                rf"{block}\.{name}\.{2 * index}",
                rf"{block}\.{name}\.{2 * index + 1}\.0",
                f"head/attention/{path}",
            )
    join = rf"{head}\.conv_bn_dropout"
    return (
        *rules,
        *conv_norm_rules(rf"{join}\.0", rf"{join}\.1\.0", "head/attention/join"),
    )


KEY_MAPS = (
    KeyMap(
        "openseg OCR on ResNet",
        (
            *resnet_rules(TORCHVISION, prefix=r"backbone\.(?:prefix\.|resinit\.)?"),
            *conv_norm_rules(r"conv_3x3\.0", r"conv_3x3\.1\.0", "head/pixels"),
            *attention_rules("spatial_ocr_head"),
            *linear_rules("head", "classifier"),
            *conv_norm_rules(r"dsn_head\.0", r"dsn_head\.1\.0", "auxiliary/ConvNorm_0"),
            *linear_rules(r"dsn_head\.3", "auxiliary_classifier"),
        ),
        ignored=(COUNTERS,),
        expects={"backbone.pool_ceil_mode": True},
    ),
)
