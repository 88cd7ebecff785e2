"""HRNet as published: for ImageNet, and with its segmentation heads."""

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    conv_norm_rules,
    linear_rules,
)
from jaxseg.pretrained.keymaps.ocr import attention_rules
from jaxseg.pretrained.keymaps.resnet import block_rules


def trunk_rules(prefix: str = "") -> tuple[Rule, ...]:
    """The backbone's rules; all publishers kept the authors' names below a prefix."""
    rules = [*block_rules(rf"{prefix}layer1\.(\d+)", r"backbone/layer1_\1")]
    stage, path = rf"{prefix}stage(\d)\.(\d+)", r"backbone/stage\1_\2"
    rules += block_rules(rf"{stage}\.branches\.(\d)\.(\d+)", rf"{path}/branches_\3_\4")
    rules += conv_norm_rules(
        rf"{prefix}conv(\d)", rf"{prefix}bn(\d)", r"backbone/conv\1"
    )
    for name, target in (
        # The finest branch changes its width only; the others are new.
        (rf"{prefix}transition(1)\.(0)", r"backbone/transition\1_\2"),
        (rf"{prefix}transition(\d)\.(\d)\.0", r"backbone/transition\1_\2"),
        # A coarser branch is enlarged after one convolution, a finer one is halved by
        # one or several.
        (rf"{stage}\.fuse_layers\.(\d)\.(\d)", rf"{path}/fuse_layers_\3_\4"),
        (rf"{stage}\.fuse_layers\.(\d)\.(\d)\.(\d)", rf"{path}/fuse_layers_\3_\4_\5"),
    ):
        rules += conv_norm_rules(rf"{name}\.0", rf"{name}\.1", target)
    return tuple(rules)


def _openseg_rules() -> tuple[Rule, ...]:
    """With the plain head, `cls_head.0` to `.3`, or with OCR, `cls_head` alone."""
    plain = conv_norm_rules(r"cls_head\.0", r"cls_head\.1\.0", "head/ConvNorm_0")
    return (
        *trunk_rules(r"backbone\."),
        *plain,
        *linear_rules(r"cls_head\.3", "classifier"),
        *conv_norm_rules(r"conv3x3\.0", r"conv3x3\.1\.0", "head/pixels"),
        *attention_rules("ocr_distri_head"),
        *linear_rules("cls_head", "classifier"),
        *conv_norm_rules(r"aux_head\.0", r"aux_head\.1\.0", "auxiliary/ConvNorm_0"),
        *linear_rules(r"aux_head\.2", "auxiliary_classifier"),
    )


def _segmentation_rules() -> tuple[Rule, ...]:
    """With the plain head, `last_layer`, or with OCR."""
    return (
        *trunk_rules(),
        *conv_norm_rules(r"last_layer\.0", r"last_layer\.1", "head/ConvNorm_0"),
        *linear_rules(r"last_layer\.3", "classifier"),
        *conv_norm_rules(r"conv3x3_ocr\.0", r"conv3x3_ocr\.1", "head/pixels"),
        *attention_rules("ocr_distri_head"),
        *linear_rules("cls_head", "classifier"),
        *conv_norm_rules(r"aux_head\.0", r"aux_head\.1", "auxiliary/ConvNorm_0"),
        *linear_rules(r"aux_head\.3", "auxiliary_classifier"),
    )


IMAGENET = KeyMap(
    "HRNet of its authors or timm, for ImageNet",
    trunk_rules(),
    ignored=(COUNTERS, r"(incre_modules|downsamp_modules|final_layer|classifier)\..*"),
)
# The authors' trainer wraps the network and its loss, whose class weights it saves.
SEGMENTATION = KeyMap(
    "HRNet of its authors, for segmentation",
    _segmentation_rules(),
    ignored=(COUNTERS, r"loss\..*"),
    prefixes=("module.", "model."),
)
OPENSEG = KeyMap(
    "HRNet of openseg or ContrastiveSeg",
    _openseg_rules(),
    # What the contrast is trained with: projection, and memories of the classes.
    ignored=(COUNTERS, r"proj_head\..*", r"(segment|pixel)_queue(_ptr)?"),
)

KEY_MAPS = (IMAGENET, SEGMENTATION, OPENSEG)
