"""Trained DeepLabs and FCNs on a ResNet.

DeepLabV2 with torchvision's names is in `resnet`, among its equals.
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
from jaxseg.pretrained.keymaps.resnet import CAFFE, TORCHVISION, resnet_rules

BACKBONE = tuple(resnet_rules(TORCHVISION, prefix=r"backbone\."))


def _pyramid(names: tuple[tuple[str, str, str], ...]) -> Iterator[Rule]:
    """Convolution, normalisation and layer of each branch of DeepLabV3's pyramid."""
    for conv, norm, layer in names:
        # A 3x3 convolution that might be separable wraps the layer.
        path = f"{layer}/window" if layer.startswith("rate") else layer
        yield from conv_norm_rules(conv, norm, f"head/aspp/{path}")


def torchvision_heads() -> Iterator[Rule]:
    """DeepLabV3's head and the auxiliary one, on any of torchvision's backbones."""
    convs = r"classifier\.0\.convs"
    yield from _pyramid(
        (
            (rf"{convs}\.0\.0", rf"{convs}\.0\.1", "point"),
            *(
                (rf"{convs}\.{i + 1}\.0", rf"{convs}\.{i + 1}\.1", f"rate_{i}")
                for i in range(3)
            ),
            (rf"{convs}\.4\.1", rf"{convs}\.4\.2", "pool"),
            (r"classifier\.0\.project\.0", r"classifier\.0\.project\.1", "project"),
        )
    )
    yield from conv_norm_rules(r"classifier\.1", r"classifier\.2", "head/refine")
    yield from linear_rules(r"classifier\.4", "classifier")
    yield from _torchvision_fcn("aux_classifier", "auxiliary")


def _torchvision_fcn(name: str, path: str) -> Iterator[Rule]:
    yield from conv_norm_rules(rf"{name}\.0", rf"{name}\.1", f"{path}/ConvNorm_0")
    classifier = "classifier" if path == "head" else f"{path}_classifier"
    yield from linear_rules(rf"{name}\.4", classifier)


def _openseg_deeplabv3() -> Iterator[Rule]:
    yield from resnet_rules(TORCHVISION, prefix=r"backbone\.(?:prefix\.|resinit\.)?")
    aspp, refine = r"decoder\.layer_aspp", r"decoder\.refine"
    # The normalisation and its ReLU are one sequence.
    yield from _pyramid(
        (
            (rf"{aspp}\.b0\.0", rf"{aspp}\.b0\.1\.0", "point"),
            *(
                (rf"{aspp}\.b{i + 1}\.0", rf"{aspp}\.b{i + 1}\.1\.0", f"rate_{i}")
                for i in range(3)
            ),
            (rf"{aspp}\.b4\.1", rf"{aspp}\.b4\.2\.0", "pool"),
            (rf"{aspp}\.project\.0", rf"{aspp}\.project\.1\.0", "project"),
        )
    )
    yield from conv_norm_rules(rf"{refine}\.0", rf"{refine}\.1", "head/refine")
    yield from linear_rules(rf"{refine}\.2", "classifier")
    dsn = r"decoder\.layer_dsn"
    yield from conv_norm_rules(rf"{dsn}\.0", rf"{dsn}\.1\.0", "auxiliary/ConvNorm_0")
    yield from linear_rules(rf"{dsn}\.2", "auxiliary_classifier")


def _zs3net_deeplabv3plus() -> Iterator[Rule]:
    yield from BACKBONE
    yield from _pyramid(
        (
            (r"aspp\.aspp1\.atrous_conv", r"aspp\.aspp1\.bn", "point"),
            *(
                (rf"aspp\.aspp{i + 2}\.atrous_conv", rf"aspp\.aspp{i + 2}\.bn", name)
                for i, name in enumerate(("rate_0", "rate_1", "rate_2"))
            ),
            (r"aspp\.global_avg_pool\.1", r"aspp\.global_avg_pool\.2", "pool"),
            (r"aspp\.conv1", r"aspp\.bn1", "project"),
        )
    )
    yield from conv_norm_rules(r"decoder\.conv1", r"decoder\.bn1", "head/skip")
    last = r"decoder\.last_conv"
    for index, path in ((0, "join"), (4, "join_1")):
        yield from conv_norm_rules(
            rf"{last}\.{index}", rf"{last}\.{index + 1}", f"head/{path}/window"
        )
    yield from linear_rules(r"decoder\.(?:last_conv\.8|pred_conv)", "classifier")


def _spnet_deeplabv2(entry: str) -> Iterator[Rule]:
    """DeepLabV2 in the names of the code that SPNet and CaGNet build on."""
    yield from conv_norm_rules(
        r"layer1\.conv1\.conv", r"layer1\.conv1\.bn", "backbone/stem_0"
    )
    parts = ("reduce", "conv3x3", "increase")
    names = [(part, f"conv{i}") for i, part in enumerate(parts, start=1)]
    for stage, count in enumerate((3, 4, 23, 3), start=1):
        for index in range(count):  # blocks count from 1, stages from 2
            block = rf"layer{stage + 1}\.block{index + 1}"
            for part, layer in (*names, ("shortcut", "downsample")):
                path = f"backbone/layer{stage}_{index}/{layer}"
                yield from conv_norm_rules(
                    rf"{block}\.{part}\.conv", rf"{block}\.{part}\.bn", path
                )
    yield from linear_rules(r"aspp\.c(\d)", rf"{entry}/rate_\1")


def _key_maps() -> Iterator[KeyMap]:
    auxiliary = r"aux_classifier\..*"
    deeplab = KeyMap(
        "torchvision DeepLabV3",
        (*BACKBONE, *torchvision_heads()),
        (COUNTERS,),
        expects={"backbone.stride_in": "3x3", "align_corners": False},
    )
    yield from by_parts(deeplab, auxiliary)
    fcn = (
        *BACKBONE,
        *_torchvision_fcn("classifier", "head"),
        *_torchvision_fcn("aux_classifier", "auxiliary"),
    )
    yield from by_parts(KeyMap("torchvision FCN", fcn, (COUNTERS,)), auxiliary)
    # PiCo's projection is no part of the segmentor.
    openseg = KeyMap(
        "openseg DeepLabV3",
        tuple(_openseg_deeplabv3()),
        (COUNTERS, r"proj_head\..*"),
        expects={"backbone.pool_ceil_mode": True, "align_corners": True},
    )
    yield from by_parts(openseg, r"decoder\.layer_dsn\..*")
    yield KeyMap("ZS3Net DeepLabV3+", tuple(_zs3net_deeplabv3plus()), (COUNTERS,))
    yield from by_parts(_spnet("decoder"), r"aspp\..*")
    yield _spnet("head")


def _spnet(entry: str) -> KeyMap:
    """DeepLabV2 whose sum is an entry: the decoder's logits, the head's features."""
    return KeyMap(
        "SPNet DeepLabV2",
        tuple(_spnet_deeplabv2(entry)),
        (COUNTERS,),
        prefixes=("module.", "scale.", "base."),
        expects=CAFFE,
    )


KEY_MAPS = tuple(_key_maps())
