"""MobileNetV3-Large as torchvision publishes it, for ImageNet and below DeepLabV3."""

from jaxseg.models.backbones.mobilenet_v3 import STAGES
from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    by_parts,
    conv_norm_rules,
    linear_rules,
)
from jaxseg.pretrained.keymaps.deeplab import torchvision_heads

# The segmentation networks call it `backbone`.
FEATURES = r"(?:features|backbone)"


def _torchvision_rules() -> tuple[Rule, ...]:
    shapes = [shape for stage in STAGES for shape in stage]
    rules = [
        *conv_norm_rules(rf"{FEATURES}\.0\.0", rf"{FEATURES}\.0\.1", _path("stem"))
    ]
    channels = 16
    for index, shape in enumerate(shapes, 1):
        parts = ["expand"] if shape.wide != channels else []
        parts += ["depthwise", *["squeeze"] * shape.squeezes, "project"]
        for place, part in enumerate(parts):
            name = rf"{FEATURES}\.{index}\.block\.{place}"
            path = _path(f"block_{index}/{part}")
            if part == "squeeze":
                rules += linear_rules(rf"{name}\.fc1", f"{path}/reduce")
                rules += linear_rules(rf"{name}\.fc2", f"{path}/expand")
            else:
                rules += conv_norm_rules(rf"{name}\.0", rf"{name}\.1", path)
        channels = shape.features
    last = rf"{FEATURES}\.{len(shapes) + 1}"
    return (*rules, *conv_norm_rules(rf"{last}\.0", rf"{last}\.1", _path("last")))


def _path(part: str) -> str:
    return f"backbone/{part}"


TORCHVISION = KeyMap(
    "MobileNetV3-Large of torchvision",
    (*_torchvision_rules(), *torchvision_heads()),
    # Two linear layers after the mean, which a segmentor has no use for.
    ignored=(COUNTERS, r"classifier\.[03]\.(weight|bias)"),
    epsilon=1e-3,
)

KEY_MAPS = by_parts(TORCHVISION, r"aux_classifier\..*")
