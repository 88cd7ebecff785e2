"""MobileNetV2 as published, for ImageNet and with DeepLab's light head.

`by_parts` first: a file of the ImageNet network also fills models without its end.
"""

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    by_parts,
    conv_norm_rules,
    linear_rules,
)

NUM_BLOCKS = 17
# How many blocks each of timm's stages has; torchvision and Hugging Face count through.
TIMM_STAGES = (1, 2, 3, 4, 3, 3, 1)


def block(index: int) -> str:
    """Our path of a block."""
    return f"backbone/expanded_conv_{index}" if index else "backbone/expanded_conv"


def _torchvision_rules() -> tuple[Rule, ...]:
    rules = [*conv_norm_rules(r"features\.0\.0", r"features\.0\.1", "backbone/Conv")]
    for index in range(NUM_BLOCKS):
        name = rf"features\.{index + 1}\.conv"
        # The first block does not expand; the projection is no sequence of its own.
        parts = ("expand", "depthwise")[index == 0 :]
        for place, part in enumerate(parts):
            rules += conv_norm_rules(
                rf"{name}\.{place}\.0", rf"{name}\.{place}\.1", f"{block(index)}/{part}"
            )
        rules += conv_norm_rules(
            rf"{name}\.{len(parts)}",
            rf"{name}\.{len(parts) + 1}",
            f"{block(index)}/project",
        )
    rules += conv_norm_rules(r"features\.18\.0", r"features\.18\.1", "backbone/Conv_1")
    return (*rules, *linear_rules(r"classifier\.1", "image_classifier"))


def _timm_rules() -> tuple[Rule, ...]:
    rules = [*conv_norm_rules("conv_stem", "bn1", "backbone/Conv")]
    places = [(i, j) for i, count in enumerate(TIMM_STAGES) for j in range(count)]
    for index, (stage, place) in enumerate(places):
        name = rf"blocks\.{stage}\.{place}"
        convs = (
            {"pw": "expand", "dw": "depthwise", "pwl": "project"}
            if index
            else {"dw": "depthwise", "pw": "project"}
        )
        for number, (conv, part) in enumerate(convs.items(), 1):
            rules += conv_norm_rules(
                rf"{name}\.conv_{conv}",
                rf"{name}\.bn{number}",
                f"{block(index)}/{part}",
            )
    rules += conv_norm_rules("conv_head", "bn2", "backbone/Conv_1")
    return (*rules, *linear_rules("classifier", "image_classifier"))


def _hugging_face_rules() -> tuple[Rule, ...]:
    layers = [
        (r"conv_stem\.first_conv", "backbone/Conv"),
        (r"conv_stem\.conv_3x3", f"{block(0)}/depthwise"),
        (r"conv_stem\.reduce_1x1", f"{block(0)}/project"),
        ("conv_1x1", "backbone/Conv_1"),
        (r"segmentation_head\.conv_pool", "head/pool"),
        (r"segmentation_head\.conv_aspp", "head/point"),
        (r"segmentation_head\.conv_projection", "head/project"),
    ]
    parts = {"expand_1x1": "expand", "conv_3x3": "depthwise", "reduce_1x1": "project"}
    for index in range(1, NUM_BLOCKS):
        layers += [
            (rf"layer\.{index - 1}\.{name}", f"{block(index)}/{part}")
            for name, part in parts.items()
        ]
    rules = [
        rule
        for name, path in layers
        for rule in conv_norm_rules(
            rf"{name}\.convolution", rf"{name}\.normalization", path
        )
    ]
    return (
        *rules,
        *linear_rules(r"segmentation_head\.classifier\.convolution", "classifier"),
        *linear_rules("classifier", "image_classifier"),
    )


# Kernels and biases in which the normalisations were folded.
TENSORFLOW = KeyMap(
    "MobileNetV2 of TensorFlow, folded",
    (
        Rule(r"MobilenetV2/Logits/Conv2d_1c_1x1/weights", "image_classifier/kernel"),
        Rule(r"MobilenetV2/Logits/Conv2d_1c_1x1/biases", "image_classifier/bias"),
        Rule(r"MobilenetV2/(.+)/weights", r"backbone/\1/conv/kernel"),
        Rule(r"MobilenetV2/(.+)/biases", r"backbone/\1/norm/folded"),
        *(
            rule
            for name, part in (
                ("aspp0", "point"),
                ("image_pooling", "pool"),
                ("concat_projection", "project"),
            )
            for rule in (
                Rule(f"{name}/weights", f"head/{part}/conv/kernel"),
                Rule(f"{name}/biases", f"head/{part}/norm/folded"),
            )
        ),
        Rule("logits/semantic/weights", "classifier/kernel"),
        Rule("logits/semantic/biases", "classifier/bias"),
    ),
    channels_last=True,
    epsilon=0.0,
    expects={"backbone.padding": "tensorflow"},
)
HUGGING_FACE = KeyMap(
    "MobileNetV2 of Hugging Face",
    _hugging_face_rules(),
    ignored=(COUNTERS,),
    epsilon=1e-3,
    prefixes=("module.", "mobilenet_v2."),
    expects={"backbone.padding": "tensorflow"},
)
TORCHVISION = KeyMap(
    "MobileNetV2 of torchvision",
    _torchvision_rules(),
    ignored=(COUNTERS,),
    epsilon=1e-5,
    expects={"backbone.padding": "torch"},
)
TIMM = KeyMap(
    "MobileNetV2 of timm",
    _timm_rules(),
    ignored=(COUNTERS,),
    epsilon=1e-5,
    expects={"backbone.padding": "torch"},
)

KEY_MAPS = (
    *by_parts(TENSORFLOW, r"MobilenetV2/Logits/.*", r"MobilenetV2/Conv_1/.*"),
    *by_parts(HUGGING_FACE, r"classifier\..*", r"conv_1x1\..*"),
    *by_parts(TORCHVISION, r"classifier\..*", r"features\.18\..*"),
    *by_parts(TIMM, r"classifier\..*", r"(conv_head|bn2)\..*"),
)
