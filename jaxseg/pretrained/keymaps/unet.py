"""U-Net as milesial's Pytorch-UNet names it; its authors published Caffe's form."""

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    conv_norm_rules,
    linear_rules,
)


def _rules() -> tuple[Rule, ...]:
    pairs = [("inc", "backbone/stage1")]
    pairs += [
        (rf"down{i}\.maxpool_conv\.1", f"backbone/stage{i + 1}") for i in range(1, 5)
    ]
    pairs += [(rf"up{i}\.conv", f"head/level{i}") for i in range(1, 5)]
    rules: list[Rule] = []
    for name, path in pairs:
        for index, place in enumerate((0, 3), start=1):
            rules += conv_norm_rules(
                rf"{name}\.double_conv\.{place}",
                rf"{name}\.double_conv\.{place + 1}",
                f"{path}/conv{index}",
            )
    rules += linear_rules(r"up(\d)\.up", r"head/up\1")
    return (*rules, *linear_rules(r"outc\.conv", "classifier"))


KEY_MAPS = (
    KeyMap(
        "U-Net of Pytorch-UNet",
        _rules(),
        ignored=(COUNTERS, "mask_values"),  # of the labels it was trained on
    ),
)
