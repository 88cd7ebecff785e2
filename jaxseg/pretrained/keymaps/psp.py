"""PSPNet and UPerNet on a ResNet, of PSPNet's author (semseg) and of mmseg."""

from collections.abc import Iterator
from typing import Any

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    by_parts,
    conv_norm_rules,
    linear_rules,
)
from jaxseg.pretrained.keymaps.resnet import (
    AVERAGED,
    MMSEG,
    PROJECTED,
    TORCHVISION,
    resnet_rules,
)

SEMSEG_STEM = tuple((rf"layer0\.{i}", rf"layer0\.{i + 1}") for i in (0, 3, 6))


def _semseg() -> Iterator[Rule]:
    yield from resnet_rules(SEMSEG_STEM)
    yield from conv_norm_rules(
        r"ppm\.features\.(\d)\.1", r"ppm\.features\.(\d)\.2", r"head/pyramid/level_\1"
    )
    yield from conv_norm_rules(r"cls\.0", r"cls\.1", "head/project")
    yield from linear_rules(r"cls\.4", "classifier")
    yield from conv_norm_rules(r"aux\.0", r"aux\.1", "auxiliary/ConvNorm_0")
    yield from linear_rules(r"aux\.4", "auxiliary_classifier")


def _mmseg(shortcut: tuple[int, int]) -> Iterator[Rule]:
    yield from resnet_rules(TORCHVISION, MMSEG, prefix=r"backbone\.", shortcut=shortcut)
    head = r"decode_head\."
    for name, path in (
        (rf"{head}psp_modules\.(\d)\.1", r"head/pyramid/level_\1"),
        (rf"{head}bottleneck", "head/project"),
        (rf"{head}lateral_convs\.(\d)", r"head/lateral_\1"),
        (rf"{head}fpn_convs\.(\d)", r"head/level_\1"),
        (rf"{head}fpn_bottleneck", "head/join"),
        (r"auxiliary_head\.convs\.0", "auxiliary/ConvNorm_0"),
    ):
        yield from conv_norm_rules(rf"{name}\.conv", rf"{name}\.bn", path)
    yield from linear_rules(rf"{head}conv_seg", "classifier")
    yield from linear_rules(r"auxiliary_head\.conv_seg", "auxiliary_classifier")


# What the names do not tell of their layout.
SEMSEG_LAYOUT: dict[str, Any] = {
    "align_corners": True,
    "head.align_corners": True,
    "backbone.dilations": (1, 1, 2, 4),
}
MMSEG_LAYOUT: dict[str, Any] = {
    "align_corners": False,
    "head.align_corners": False,
    "backbone.dilations": None,
}

KEY_MAPS = (
    *by_parts(
        KeyMap("semseg PSPNet", tuple(_semseg()), (COUNTERS,), expects=SEMSEG_LAYOUT),
        r"aux\..*",
    ),
    *(
        part
        for title, shortcut in (("ResNet", PROJECTED), ("ResNet-D", AVERAGED))
        for part in by_parts(
            KeyMap(
                f"mmseg PSPNet or UPerNet on {title}",
                tuple(_mmseg(shortcut)),
                (COUNTERS,),
                expects=MMSEG_LAYOUT,
            ),
            r"auxiliary_head\..*",
        )
    ),
)
