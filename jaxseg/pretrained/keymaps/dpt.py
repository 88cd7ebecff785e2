"""DPT: the authors' names, which LSeg and SAZS share, and Hugging Face's.

Neither the deepest fusion's unit for a map from below nor the auxiliary classifier,
which sees the fused map in training, has a place in ours.
"""

import dataclasses

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    conv_norm_rules,
    linear_rules,
)
from jaxseg.pretrained.keymaps.vit import hugging_face_rules, plain_rules

LEVELS = range(4)
CONVENTIONS = {"backbone.position_resize": "bilinear"}
EDGES = r"edgeocr_cls_head"  # the edge classifier that SAZS trains beside
BESIDE = (r"clip_pretrained\..*", r"logit_scale", r"auxlayer\..*")


def _level_rules(
    level: int, *, linear: tuple[str, ...], unit: str, conv: str, norm: str
) -> tuple[Rule, ...]:
    """The rules of one stage.

    Args:
        level: its number, from the shallowest, 0.
        linear: patterns of its readout, the two convolutions that reassemble it, the
            one that opens its fusion and the one that ends it.
        unit: of the fusion's residual units, with their number as a group.
        conv: of a unit's convolutions, likewise.
        norm: of their normalisations.
    """
    fuse = f"head/fusion/fuse_{level}"
    paths = (
        f"backbone/readouts_{level}",
        f"head/reassemble_{level}/project",
        f"head/reassemble_{level}/resize",
        f"head/fusion/layer_{level}",
        f"{fuse}/project",
    )
    pairs = zip(linear, paths, strict=True)
    return (
        *(rule for pattern, path in pairs for rule in linear_rules(pattern, path)),
        *conv_norm_rules(
            rf"{unit}\.{conv}", rf"{unit}\.{norm}", rf"{fuse}/unit\1/window\2"
        ),
    )


def _authors_level(level: int) -> tuple[Rule, ...]:
    number = level + 1
    post, fuse = rf"pretrained\.act_postprocess{number}", rf"scratch\.refinenet{number}"
    return _level_rules(
        level,
        linear=(
            rf"{post}\.0\.project\.0",
            rf"{post}\.3",
            rf"{post}\.4",
            rf"scratch\.layer{number}_rn",
            rf"{fuse}\.out_conv",
        ),
        unit=rf"{fuse}\.resConfUnit(\d)",
        conv=r"conv(\d)",
        norm=r"bn(\d)",
    )


def _hugging_face_level(level: int) -> tuple[Rule, ...]:
    neck = r"neck\.reassemble_stage"
    # The fusions are in the order in which they are computed.
    fuse = rf"neck\.fusion_stage\.layers\.{LEVELS[-1] - level}"
    return _level_rules(
        level,
        linear=(
            rf"{neck}\.readout_projects\.{level}\.0",
            rf"{neck}\.layers\.{level}\.projection",
            rf"{neck}\.layers\.{level}\.resize",
            rf"neck\.convs\.{level}",
            rf"{fuse}\.projection",
        ),
        unit=rf"{fuse}\.residual_layer(\d)",
        conv=r"convolution(\d)",
        norm=r"batch_norm(\d)",
    )


PREFIXES = ("module.", "net.", "module.")
# SAZS trains a whole DPT, but nothing except the map of its second tap is used.
NOT_USED = (
    *BESIDE,
    r"pretrained\.model\.(?:norm|head)\..*",
    r"pretrained\.model\.blocks\.(?:1[2-9]|2\d)\..*",
    r"pretrained\.act_postprocess[134]\..*",
    r"scratch\..*",
)

TRUNCATED = KeyMap(
    "SAZS, the second tap of DPT",
    rules=(
        *plain_rules(r"pretrained\.model\."),
        *linear_rules(
            r"pretrained\.act_postprocess2\.0\.project\.0", "backbone/readouts_0"
        ),
        *linear_rules(r"pretrained\.act_postprocess2\.3", "head/project"),
        *linear_rules(r"pretrained\.act_postprocess2\.4", "head/resize"),
    ),
    ignored=(*NOT_USED, rf"{EDGES}\..*"),
    prefixes=PREFIXES,
    expects=CONVENTIONS,
)

# For models that have the edge classifier as the entry `edges`.
TRUNCATED_WITH_EDGES = dataclasses.replace(
    TRUNCATED,
    rules=(*TRUNCATED.rules, *linear_rules(EDGES, "edges")),
    ignored=NOT_USED,
)

AUTHORS = KeyMap(
    "DPT authors (LSeg, SAZS)",
    rules=(
        *plain_rules(r"pretrained\.model\."),
        *(rule for level in LEVELS for rule in _authors_level(level)),
        *conv_norm_rules(
            r"scratch\.output_conv\.0", r"scratch\.output_conv\.1", "head/refine"
        ),
        *linear_rules(r"scratch\.output_conv\.4", "classifier"),
        *linear_rules(r"scratch\.head1", "head/embedding"),
    ),
    ignored=(
        rf"{EDGES}\..*",
        *BESIDE,
        r"pretrained\.model\.(?:norm|head)\..*",
        r"scratch\.refinenet4\.resConfUnit1\..*",
        COUNTERS,
    ),
    prefixes=PREFIXES,
    expects=CONVENTIONS,
)

HUGGING_FACE = KeyMap(
    "Hugging Face DPT",
    rules=(
        *hugging_face_rules(r"dpt\."),
        *(rule for level in LEVELS for rule in _hugging_face_level(level)),
        *conv_norm_rules(r"head\.head\.0", r"head\.head\.1", "head/refine"),
        *linear_rules(r"head\.head\.4", "classifier"),
    ),
    ignored=(
        r"dpt\.(?:layernorm|pooler)\..*",
        r"neck\.fusion_stage\.layers\.0\.residual_layer1\..*",
        r"auxiliary_head\..*",
        COUNTERS,
    ),
    expects=CONVENTIONS,
)

KEY_MAPS = (TRUNCATED, TRUNCATED_WITH_EDGES, AUTHORS, HUGGING_FACE)
