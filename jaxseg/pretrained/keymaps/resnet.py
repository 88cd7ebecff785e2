"""ResNets as published for ImageNet, and as the backbone of other publishers' networks.

Caffe's weights (stride in the first 1x1 convolution) are named as torchvision's, so
that the names cannot tell them apart: `backbone.stride_in` is the config's to say.
"""

from collections.abc import Iterator

from jaxseg.pretrained.keymap import (
    COUNTERS,
    KeyMap,
    Rule,
    by_parts,
    conv_norm_rules,
    linear_rules,
)

Layers = tuple[tuple[str, str], ...]

# Convolution and normalisation of each layer of the stem. Of torchvision there is only
# the first; the deep one is of CSAIL's ImageNet files, which openseg starts from.
TORCHVISION = tuple((f"conv{i}", f"bn{i}") for i in (1, 2, 3))
TIMM = ((r"conv1\.0", r"conv1\.1"), (r"conv1\.3", r"conv1\.4"), (r"conv1\.6", "bn1"))
MMSEG = tuple((rf"stem\.{i}", rf"stem\.{i + 1}") for i in (0, 3, 6))
# Convolution and normalisation of a shortcut, in ResNet-D behind a pooling.
PROJECTED = (0, 1)
AVERAGED = (1, 2)


def resnet_rules(
    *stems: Layers, prefix: str = "", shortcut: tuple[int, int] = PROJECTED
) -> Iterator[Rule]:
    """The rules of a backbone with torchvision's names for the blocks.

    Args:
        *stems: how the layers of the stem may be called; names differ among them.
        prefix: a pattern that all names begin with.
        shortcut: the numbers of its convolution and of its normalisation.
    """
    for stem in stems:
        for index, (conv, norm) in enumerate(stem):
            path = f"backbone/stem_{index}"
            yield from conv_norm_rules(prefix + conv, prefix + norm, path)
    block, path = rf"{prefix}layer(\d)\.(\d+)", r"backbone/layer\1_\2"
    yield from block_rules(block, path, shortcut=shortcut)


def block_rules(
    pattern: str, path: str, *, shortcut: tuple[int, int] = PROJECTED
) -> Iterator[Rule]:
    """The rules of a residual block, basic or bottleneck, by its published name.

    Args:
        pattern: that the names of the block begin with.
        path: of ours.
        shortcut: the numbers of its convolution and of its normalisation.
    """
    for i in (1, 2, 3):
        conv, norm = rf"{pattern}\.conv{i}", rf"{pattern}\.bn{i}"
        yield from conv_norm_rules(conv, norm, f"{path}/conv{i}")
    conv, norm = (rf"{pattern}\.downsample\.{number}" for number in shortcut)
    yield from conv_norm_rules(conv, norm, f"{path}/downsample")


def hugging_face_rules(prefix: str = "") -> Iterator[Rule]:
    """The rules of Hugging Face's ResNet, whose names all begin with `prefix`."""

    def layer(name: str, path: str) -> tuple[Rule, ...]:
        conv, norm = rf"{name}\.convolution", rf"{name}\.normalization"
        return conv_norm_rules(conv, norm, f"backbone/{path}")

    yield from layer(rf"{prefix}embedder\.embedder", "stem_0")
    for stage in range(4):
        block = rf"{prefix}encoder\.stages\.{stage}\.layers\.(\d+)"
        path = rf"layer{stage + 1}_\1"
        yield from layer(rf"{block}\.shortcut", f"{path}/downsample")
        for index in range(3):
            yield from layer(rf"{block}\.layer\.{index}", f"{path}/conv{index + 1}")


# DeepLabV2 starts from Caffe's weights, and its own are named alike.
CAFFE = {"backbone.stride_in": "1x1", "backbone.pool_ceil_mode": True}


def _caffe_deeplabv2(entry: str) -> KeyMap:
    """DeepLabV2 whose sum is an entry: the decoder's logits, the head's features."""
    return KeyMap(
        "Caffe DeepLabV2",
        (
            *resnet_rules(TORCHVISION),
            *linear_rules(r"layer5\.conv2d_list\.(\d)", rf"{entry}/rate_\1"),
        ),
        (COUNTERS,),
        prefixes=("module.", "Scale."),
        expects=CAFFE,
    )


# PASS trains a backbone beside heads that nothing needs afterwards; its
# semi-supervised code puts a 1x1 convolution on it.
_PASS_PREFIXES = ("module.", "backbone.")
_PASS_HEADS = (COUNTERS, r"(projection_head|predictor_head|prototypes).*", r"fc\..*")

# Torchvision's comes first: of a file without an end, the others' say the same.
KEY_MAPS = (
    *by_parts(
        KeyMap(
            "torchvision ResNet",
            (
                *resnet_rules(TORCHVISION, MMSEG, prefix=r"(?:prefix\.|resinit\.)?"),
                *linear_rules("fc", "image_classifier"),
            ),
            (COUNTERS,),
        ),
        r"fc\..*",
    ),
    *by_parts(
        KeyMap(
            "timm ResNet with deep stem",
            (*resnet_rules(TIMM), *linear_rules("fc", "image_classifier")),
            (COUNTERS,),
        ),
        r"fc\..*",
    ),
    *by_parts(
        KeyMap(
            "ResNet-D",
            (
                *resnet_rules(TIMM, MMSEG, shortcut=AVERAGED),
                *linear_rules("fc", "image_classifier"),
            ),
            (COUNTERS,),
            expects={"backbone.average_shortcut": True},
        ),
        r"fc\..*",
    ),
    *by_parts(
        KeyMap(
            "Hugging Face ResNet",
            (
                *hugging_face_rules(),
                *linear_rules(r"classifier\.1", "image_classifier"),
            ),
            (COUNTERS,),
            prefixes=("resnet.",),
            expects={"backbone.stride_in": "3x3"},
        ),
        r"classifier\..*",
    ),
    *by_parts(_caffe_deeplabv2("decoder"), r"layer5\..*"),
    _caffe_deeplabv2("head"),
    KeyMap(
        "PASS ResNet",
        tuple(resnet_rules(TORCHVISION)),
        (*_PASS_HEADS, r"head\..*"),
        prefixes=_PASS_PREFIXES,
    ),
    KeyMap(
        "ImageNetSegModel ResNet",
        (*resnet_rules(TORCHVISION), *linear_rules("head", "classifier")),
        _PASS_HEADS,
        prefixes=_PASS_PREFIXES,
    ),
)
