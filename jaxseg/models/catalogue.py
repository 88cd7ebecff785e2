"""The published networks by name, as a config would write them.

    model = jaxseg.models.create("segformer_b0", num_classes=19)
    variables = model.init(jax.random.key(0), images, train=False)
    outputs = model.apply(variables, images, train=False)  # logits [B, H, W, C]

A config's `model` section is such a dict, too, so that both are built alike.
"""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxseg import config


@dataclasses.dataclass(frozen=True)
class Net:
    """An entry of the catalogue.

    Attributes:
        spec: a config's `model` section.
        weights: who publishes weights for it that `jaxseg.pretrained` reads.
    """

    spec: Mapping[str, Any]
    weights: str


def create(name: str, *, num_classes: int, **fields: Any) -> Any:
    """Makes a network of the catalogue, a Linen module.

    Args:
        name: a key of `NETS`, such as "segformer_b0".
        num_classes: C.
        **fields: of the `Segmentor`, in place of the catalogue's: `dtype="bfloat16"`;
            a dict as `backbone=dict(remat=True)` changes keys of that part only.

    Raises:
        ConfigError: for an unknown name or field, with the nearest known.
    """
    if name not in NETS:
        raise config.ConfigError(f"no network {name!r}{config.suggest(name, NETS)}")
    spec: dict[str, Any] = copy.deepcopy(dict(NETS[name].spec))
    for key, value in fields.items():
        part = spec.get(key)
        if isinstance(part, Mapping) and isinstance(value, Mapping):
            spec[key] = {**part, **value}
        else:
            spec[key] = value
    return build(spec, num_classes=num_classes)


def build(spec: Mapping[str, Any], *, num_classes: int) -> Any:
    """Makes the network of a config's `model` section.

    Backbone, head and decoder compute in the model's dtype, unless they say otherwise.
    """
    if "dtype" in spec:
        inherited = {"dtype": spec["dtype"]}
        spec = {
            key: inherited | dict(part) if isinstance(part, Mapping) else part
            for key, part in spec.items()
        }
    return config.make("models", spec, num_classes=num_classes)


def _segmentor(backbone: dict[str, Any], head: dict[str, Any], **rest: Any) -> dict:
    return dict(name="segmentor.Segmentor", backbone=backbone, head=head, **rest)


def _resnet(depth: int, **fields: Any) -> dict[str, Any]:
    return dict(name="backbones.resnet.ResNet", depth=depth, **fields)


def _torchvision(depth: int, head: dict[str, Any]) -> Net:
    """Stride 8, an auxiliary head on the third stage, as torchvision trains them."""
    backbone = _resnet(depth, output_stride=8)
    return Net(
        _segmentor(backbone, head, auxiliary=AUXILIARY),
        "torchvision (COCO with VOC's classes); torchvision, timm (ImageNet)",
    )


def _pspnet(depth: int) -> Net:
    return Net(
        _segmentor(
            _resnet(depth, output_stride=8, dilations=(1, 1, 2, 4), deep_stem=True),
            dict(name="heads.psp.PSP", dropout=0.1, align_corners=True),
            auxiliary=AUXILIARY,
            align_corners=True,
        ),
        "semseg (VOC, ADE20K, Cityscapes)",
    )


def _upernet(depth: int) -> Net:
    return Net(
        _segmentor(
            _resnet(depth, output_stride=32, deep_stem=True, stem_width=32),
            dict(name="heads.upernet.UPerNet", dropout=0.1),
            auxiliary=AUXILIARY,
        ),
        "mmseg (ADE20K, Cityscapes)",
    )


def _contrastive_seg(depth: int) -> Net:
    """DeepLabV3 as openseg, ContrastiveSeg and PiCo build it."""
    return Net(
        _segmentor(
            _resnet(depth, output_stride=8, deep_stem=True, pool_ceil_mode=True),
            CONTRASTIVE_DEEPLAB,
            auxiliary=dict(
                name="heads.fcn.FCN", features=256, stages=(-2,), use_bias=True
            ),
            align_corners=True,
        ),
        "openseg, ContrastiveSeg (ImageNet, Cityscapes)",
    )


def _hrnet(width: int) -> dict[str, Any]:
    return dict(name="backbones.hrnet.HRNet", width=width)


def _on_all_branches(width: int, **fields: Any) -> dict[str, Any]:
    common = dict(features=15 * width, stages=(0, 1, 2, 3), use_bias=True)
    return dict(name="heads.fcn.FCN", **common, **fields)


def _openseg_hrnet(width: int) -> Net:
    return Net(
        _segmentor(
            _hrnet(width),
            _on_all_branches(width, dropout=0.1),
            classifier_bias=False,
            align_corners=True,
        ),
        "openseg, ContrastiveSeg; HRNet's authors, timm (ImageNet)",
    )


def _openseg_hrnet_ocr(width: int) -> Net:
    return Net(
        _segmentor(
            _hrnet(width),
            dict(name="heads.ocr.OCR", stages=(0, 1, 2, 3)),
            auxiliary=_on_all_branches(width),
            align_corners=True,
        ),
        "openseg, ContrastiveSeg; HRNet's authors, timm (ImageNet)",
    )


def _authors_hrnet(width: int) -> Net:
    return Net(
        _segmentor(
            _hrnet(width),
            _on_all_branches(width, kernel_size=1),
            align_corners=True,
        ),
        "HRNet's authors",
    )


def _authors_hrnet_ocr(width: int) -> Net:
    return Net(
        _segmentor(
            _hrnet(width),
            dict(name="heads.ocr.OCR", stages=(0, 1, 2, 3), attention_bias=False),
            auxiliary=_on_all_branches(width, kernel_size=1),
            align_corners=True,
        ),
        "HRNet's authors",
    )


def _segformer(widths: tuple[int, ...], depths: tuple[int, ...], features: int) -> Net:
    return Net(
        _segmentor(
            dict(name="backbones.mit.MiT", widths=widths, depths=depths),
            dict(name="heads.segformer.SegFormer", features=features),
            dropout=0.1,  # of channels, as the authors do; transformers: of values
        ),
        "Hugging Face (with epsilon 1e-5), SegFormer's authors, mmseg",
    )


def _vit(width: int, depth: int = 12, **fields: Any) -> dict[str, Any]:
    return dict(
        name="backbones.vit.ViT",
        width=width,
        depth=depth,
        num_heads=width // 64,
        **fields,
    )


def _segmenter(width: int, depth: int = 12, *, side: int = 32) -> Net:
    """Its table of positions is for pictures of 16 times the side, as trained."""
    return Net(
        _segmentor(
            _vit(
                width,
                depth,
                image_grid=(side, side),
                position_resize="bilinear",
                pad=True,
                epsilon=1e-5,
                drop_path=0.1,
            ),
            dict(name="heads.identity.Identity"),
            decoder=dict(
                name="heads.segmenter.MaskTransformer",
                width=width,
                num_heads=width // 64,
            ),
            size_divisor=16,
            **HALF,
        ),
        "Segmenter's authors",
    )


def _dpt(head: dict[str, Any], weights: str, **backbone: Any) -> Net:
    taps: dict[str, Any] = dict(depth=24, taps=(5, 11, 17, 23)) | backbone
    return Net(
        _segmentor(
            _vit(
                1024,
                **taps,
                image_grid=(24, 24),
                position_resize="bilinear",
                final_norm=False,
                readout="project",
            ),
            head,
            align_corners=True,
            **HALF,
        ),
        weights,
    )


def _maskformer(depth: int) -> Net:
    return Net(
        _segmentor(
            _resnet(depth, output_stride=32),
            dict(name="heads.maskformer.PixelDecoder"),
            decoder=dict(name="heads.maskformer.MaskFormerDecoder"),
        ),
        "Hugging Face, MaskFormer's authors; torchvision, timm (ImageNet)",
    )


def _drn(depth: int) -> Net:
    return Net(
        _segmentor(
            dict(name="backbones.drn.DRN", depth=depth),
            dict(name="heads.identity.Identity"),
        ),
        "DRN's authors (ImageNet)",
    )


def _two_branches(**width: Any) -> Net:
    return Net(
        _segmentor(
            dict(name="backbones.mobilenet_v2.MobileNetV2", output_stride=16, **width),
            dict(name="heads.image_pooling.ImagePooling"),
            align_corners=True,
            mean=(128.0, 128.0, 128.0),
            std=(128.0, 128.0, 128.0),
        ),
        "TensorFlow's model zoo (VOC)",
    )


def _pico_mobilenet(name: str, weights: str, **fields: Any) -> Net:
    return Net(
        _segmentor(dict(name=f"backbones.{name}", **fields), CONTRASTIVE_DEEPLAB),
        f"of the backbone: {weights} (ImageNet)",
    )


AUXILIARY = dict(name="heads.fcn.FCN", features=256, stages=(-2,), dropout=0.1)
TORCHVISION_FCN = dict(name="heads.fcn.FCN", features=512, dropout=0.1)
# The shallow layers as Caffe's ImageNet weights have them.
CAFFE = dict(stride_in="1x1", pool_ceil_mode=True, dilations=(1, 1, 2, 4))
TORCHVISION_DEEPLAB = dict(
    name="heads.deeplabv3.DeepLabV3",
    rates=(12, 24, 36),
    dropout=0.5,
    refine=True,
    refine_relu=True,
)
CONTRASTIVE_DEEPLAB = dict(
    name="heads.deeplabv3.DeepLabV3",
    features=512,
    rates=(12, 24, 36),
    project_kernel=3,
    refine=True,
)
# Pictures from -1 to 1, as vision transformers are trained.
HALF = dict(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))
SMALL_MIT, LARGE_MIT = (32, 64, 160, 256), (64, 128, 320, 512)

NETS: dict[str, Net] = {
    "fcn_r50": _torchvision(50, TORCHVISION_FCN),
    "fcn_r101": _torchvision(101, TORCHVISION_FCN),
    "deeplabv2_r101": Net(
        _segmentor(
            _resnet(101, output_stride=8, **CAFFE),
            dict(name="heads.identity.Identity"),
            decoder=dict(name="heads.deeplabv2.DeepLabV2Classifier"),
            align_corners=True,
        ),
        "DeepLab's ResNet-101 of Caffe, as PyTorch ports have it",
    ),
    "spnet_r101": Net(
        _segmentor(
            _resnet(101, output_stride=8, **CAFFE),
            dict(name="heads.deeplabv2.DeepLabV2"),
        ),
        "SPNet's, CaGNet's authors",
    ),
    "deeplabv3_r50": _torchvision(50, TORCHVISION_DEEPLAB),
    "deeplabv3_r101": _torchvision(101, TORCHVISION_DEEPLAB),
    "deeplabv3plus_r101": Net(
        _segmentor(
            _resnet(
                101, output_stride=16, dilations=(1, 1, 1, 2), multi_grid=(1, 2, 4)
            ),
            dict(
                name="heads.deeplabv3.DeepLabV3",
                dropout=0.5,
                skip_stage=0,
                join_dropouts=(0.5, 0.1),
                align_corners=True,
            ),
            align_corners=True,
        ),
        "ZS3Net's authors; torchvision (ImageNet)",
    ),
    "pico_deeplabv3_r50": _contrastive_seg(50),
    "pico_deeplabv3_r101": _contrastive_seg(101),
    "pspnet_r50": _pspnet(50),
    "pspnet_r101": _pspnet(101),
    "upernet_r50": _upernet(50),
    "upernet_r101": _upernet(101),
    "segformer_b0": _segformer(SMALL_MIT, (2, 2, 2, 2), 256),
    "segformer_b1": _segformer(LARGE_MIT, (2, 2, 2, 2), 256),
    "segformer_b2": _segformer(LARGE_MIT, (3, 4, 6, 3), 768),
    "segformer_b3": _segformer(LARGE_MIT, (3, 4, 18, 3), 768),
    "segformer_b4": _segformer(LARGE_MIT, (3, 8, 27, 3), 768),
    "segformer_b5": _segformer(LARGE_MIT, (3, 6, 40, 3), 768),
    "segmenter_ti16": _segmenter(192),
    "segmenter_s16": _segmenter(384),
    "segmenter_b16": _segmenter(768),
    "segmenter_l16": _segmenter(1024, 24, side=40),
    "dpt_large": _dpt(
        dict(name="heads.dpt.DPT"), "Hugging Face (dpt-large-ade), DPT's authors"
    ),
    "lseg_dpt_large": _dpt(
        dict(name="heads.dpt.DPT", refine=False, embedding=512), "LSeg's authors"
    ),
    "sazs_dpt": _dpt(
        dict(name="heads.dpt.Reassemble", features=512, scale=2),
        "SAZS's authors",
        depth=12,
        taps=(11,),
    ),
    "maskformer_r50": _maskformer(50),
    "maskformer_r101": _maskformer(101),
    "deeplabv3_mobilenet_v2": _two_branches(),
    "deeplabv3_mobilenet_v2_dm05": _two_branches(width=0.5, divisor=4),
    "deeplabv3_mobilenet_v3_large": Net(
        _segmentor(
            dict(
                name="backbones.mobilenet_v3.MobileNetV3Large",
                output_stride=16,
                early_stage=True,
            ),
            TORCHVISION_DEEPLAB,
            auxiliary=dict(name="heads.fcn.FCN", features=10, stages=(2,), dropout=0.1),
        ),
        "torchvision (COCO with VOC's classes, ImageNet)",
    ),
    "pico_mobilenet_v1": _pico_mobilenet(
        "mobilenet_v1.MobileNetV1", "TensorFlow, Hugging Face"
    ),
    "pico_mobilenet_v2": _pico_mobilenet(
        "mobilenet_v2.MobileNetV2",
        "torchvision, timm",
        last_features=1280,
        padding="torch",
        epsilon=1e-5,
    ),
    "pico_mobilenet_v3_large": _pico_mobilenet(
        "mobilenet_v3.MobileNetV3Large", "torchvision"
    ),
    "hrnet_w18": _openseg_hrnet(18),
    "hrnet_w32": _openseg_hrnet(32),
    "hrnet_w48": _openseg_hrnet(48),
    "ocr_hrnet_w18": _openseg_hrnet_ocr(18),
    "ocr_hrnet_w48": _openseg_hrnet_ocr(48),
    "hrnet_w18_v2": _authors_hrnet(18),
    "hrnet_w48_v2": _authors_hrnet(48),
    "ocr_hrnet_w48_v2": _authors_hrnet_ocr(48),
    "ocr_r101": Net(
        _segmentor(
            _resnet(101, output_stride=8, deep_stem=True, pool_ceil_mode=True),
            dict(name="heads.ocr.OCR"),
            auxiliary=dict(
                name="heads.fcn.FCN",
                features=512,
                stages=(-2,),
                use_bias=True,
                dropout=0.05,
            ),
            align_corners=True,
        ),
        "openseg",
    ),
    "drn_d_22": _drn(22),
    "drn_d_38": _drn(38),
    "drn_d_54": _drn(54),
    "drn_d_105": _drn(105),
    "sazs_drn": Net(
        _segmentor(
            dict(name="backbones.drn.DRN", depth=105),
            dict(name="heads.psp.PSP", features=512, pool_features=512),
        ),
        "SAZS's authors; of the backbone: DRN's authors (ImageNet)",
    ),
    "segnet": Net(
        _segmentor(dict(name="backbones.vgg.VGG"), dict(name="heads.segnet.SegNet")),
        "of the backbone: torchvision, timm (ImageNet)",
    ),
    "unet": Net(
        _segmentor(
            dict(name="backbones.unet.UNetEncoder"), dict(name="heads.unet.UNet")
        ),
        "Pytorch-UNet",
    ),
}
