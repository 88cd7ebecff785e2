"""MobileNetV1 as published for ImageNet."""

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    by_parts,
    conv_norm_rules,
    linear_rules,
)

NUM_BLOCKS = 13


def _hugging_face_rules() -> tuple[Rule, ...]:
    layers = [("conv_stem", "Conv2d_0")]
    for index in range(NUM_BLOCKS):
        layers += [
            (rf"layer\.{2 * index}", f"Conv2d_{index + 1}/depthwise"),
            (rf"layer\.{2 * index + 1}", f"Conv2d_{index + 1}/pointwise"),
        ]
    rules = [
        rule
        for name, path in layers
        for rule in conv_norm_rules(
            rf"{name}\.convolution", rf"{name}\.normalization", f"backbone/{path}"
        )
    ]
    return (*rules, *linear_rules("classifier", "image_classifier"))


# Kernels and biases in which the normalisations were folded.
TENSORFLOW = KeyMap(
    "MobileNetV1 of TensorFlow, folded",
    (
        Rule(r"MobilenetV1/Logits/Conv2d_1c_1x1/weights", "image_classifier/kernel"),
        Rule(r"MobilenetV1/Logits/Conv2d_1c_1x1/biases", "image_classifier/bias"),
        Rule(r"MobilenetV1/Conv2d_0/weights", "backbone/Conv2d_0/conv/kernel"),
        Rule(r"MobilenetV1/Conv2d_0/biases", "backbone/Conv2d_0/norm/folded"),
        Rule(r"MobilenetV1/(Conv2d_\d+)_(\w+)/weights", r"backbone/\1/\2/conv/kernel"),
        Rule(r"MobilenetV1/(Conv2d_\d+)_(\w+)/biases", r"backbone/\1/\2/norm/folded"),
    ),
    channels_last=True,
    epsilon=0.0,
    expects={"backbone.padding": "tensorflow"},
)
HUGGING_FACE = KeyMap(
    "MobileNetV1 of Hugging Face",
    _hugging_face_rules(),
    ignored=(COUNTERS,),
    epsilon=1e-3,
    prefixes=("module.", "mobilenet_v1."),
    expects={"backbone.padding": "tensorflow"},
)

KEY_MAPS = (
    *by_parts(TENSORFLOW, r"MobilenetV1/Logits/.*"),
    *by_parts(HUGGING_FACE, r"classifier\..*"),
)
