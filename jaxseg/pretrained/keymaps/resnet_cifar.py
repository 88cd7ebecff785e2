"""The ResNets for CIFAR-10 with torchvision's names for the blocks (akamaster's)."""

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    by_parts,
    conv_norm_rules,
    linear_rules,
)

KEY_MAPS = by_parts(
    KeyMap(
        "CIFAR ResNet",
        (
            *conv_norm_rules("conv1", "bn1", "backbone/stem"),
            *conv_norm_rules(
                r"layer(\d)\.(\d+)\.conv(\d)",
                r"layer(\d)\.(\d+)\.bn(\d)",
                r"backbone/layer\1_\2/conv\3",
            ),
            *linear_rules("linear", "image_classifier"),
        ),
        (COUNTERS,),
    ),
    r"linear\..*",
)
