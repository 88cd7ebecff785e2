"""VGG-16 with batch normalisation as torchvision and timm publish it."""

from jaxseg.models.backbones.vgg import VGG
from jaxseg.pretrained.keymap import COUNTERS, KeyMap, Rule, conv_norm_rules


def _rules() -> tuple[Rule, ...]:
    """Layers are counted through: convolution, normalisation and ReLU; or pooling."""
    rules: list[Rule] = []
    place = 0
    for stage, num_convs in enumerate(VGG.num_convs, start=1):
        for index in range(1, num_convs + 1):
            rules += conv_norm_rules(
                rf"features\.{place}",
                rf"features\.{place + 1}",
                f"backbone/stage{stage}/conv{index}",
            )
            place += 3
        place += 1
    return tuple(rules)


KEY_MAPS = (
    KeyMap(
        "VGG-16 with batch normalisation of torchvision or timm",
        _rules(),
        ignored=(COUNTERS, r"(classifier|pre_logits|head)\..*"),
    ),
)
