"""DRN as published: for ImageNet, for segmentation, and below SAZS's pyramid."""

import dataclasses

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    conv_norm_rules,
    linear_rules,
)
from jaxseg.pretrained.keymaps.dpt import EDGES
from jaxseg.pretrained.keymaps.resnet import block_rules


def trunk_rules(level: str) -> tuple[Rule, ...]:
    """The backbone's rules, where the levels are called `level` and a number."""
    path = r"backbone/layer\1_\2"
    plain = rf"{level}([01278])"
    return (
        *block_rules(rf"{level}([3-6])\.(\d+)", path),
        *conv_norm_rules(rf"{plain}\.0", rf"{plain}\.1", r"backbone/layer\1_0"),
    )


def _sazs_rules() -> tuple[Rule, ...]:
    rules = [*trunk_rules(r"base\.")]
    for index, size in enumerate((1, 2, 3, 6)):
        rules += conv_norm_rules(
            f"pool{size}_conv", f"pool{size}_bn", f"head/pyramid/level_{index}"
        )
    rules += conv_norm_rules("fc1", "fc1_bn", "head/project")
    return (*rules, *linear_rules(EDGES, "edges"))


CLASSIFIER = KeyMap(
    "DRN of its authors, for ImageNet",
    (*trunk_rules("layer"), *linear_rules("fc", "image_classifier")),
    ignored=(COUNTERS,),
)
# For models without the ImageNet classifier.
IMAGENET = dataclasses.replace(CLASSIFIER, ignored=(COUNTERS, r"fc\..*"))
# `up` enlarges the logits linearly, as segmentors here do without parameters.
SEGMENTATION = KeyMap(
    "DRN of its authors, for segmentation",
    (*trunk_rules(r"base\."), *linear_rules("seg", "classifier")),
    ignored=(COUNTERS, r"up\.weight"),
)
# `edges` is the entry of the edge network's classifier; a segmentor alone has none.
SAZS = KeyMap(
    "DRN of SAZS",
    _sazs_rules(),
    ignored=(COUNTERS, r"up\.weight", r"fc2\..*"),
)

KEY_MAPS = (IMAGENET, CLASSIFIER, SEGMENTATION, SAZS)
