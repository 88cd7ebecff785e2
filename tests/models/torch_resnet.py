"""ResNets and the heads on them in torch, with the names that are published.

Import by the fixture `torch`. Written after papers and published names; every module's
`state_dict` is what a file of its publisher holds.
"""

import torch
import torch.nn.functional as F
from torch import nn

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
# Stride, dilation of the first block and of the others, of each stage.
STRIDE_32 = ((1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1))
STRIDE_16 = ((1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2))
STRIDE_8 = ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4))
DEEPLABV2 = ((1, 1, 1), (2, 1, 1), (1, 2, 2), (1, 4, 4))
SELF_REGULATION = ((1, 1, 1), (2, 1, 1), (2, 2, 2), (1, 4, 4))


def conv(inputs, outputs, size, stride=1, dilation=1, bias=False):
    pad = dilation * (size // 2)
    return nn.Conv2d(inputs, outputs, size, stride, pad, dilation, bias=bias)


def shortcut(inputs, outputs, stride, average):
    if stride == 1 and inputs == outputs:
        return None
    norm = nn.BatchNorm2d(outputs)
    if not average:
        return nn.Sequential(conv(inputs, outputs, 1, stride), norm)
    pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, conv(inputs, outputs, 1), norm)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs, features, stride, dilation, caffe, average):
        super().__init__()
        self.conv1 = conv(inputs, features, 3, stride, dilation)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = conv(features, features, 3, 1, dilation)
        self.bn2 = nn.BatchNorm2d(features)
        self.downsample = shortcut(inputs, features, stride, average)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, features, stride, dilation, caffe, average):
        super().__init__()
        first, second = (stride, 1) if caffe else (1, stride)
        self.conv1 = conv(inputs, features, 1, first)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = conv(features, features, 3, second, dilation)
        self.bn2 = nn.BatchNorm2d(features)
        self.conv3 = conv(features, 4 * features, 1)
        self.bn3 = nn.BatchNorm2d(4 * features)
        self.downsample = shortcut(inputs, 4 * features, stride, average)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet(nn.Module):
    """With `fc` if there are classes; `multi_grid` replaces the last stage's plan."""

    def __init__(
        self,
        depth,
        plan=STRIDE_32,
        width=64,
        stem="plain",
        stem_width=None,
        caffe=False,
        average=False,
        ceil_mode=False,
        multi_grid=None,
        classes=None,
    ):
        super().__init__()
        block = BasicBlock if depth == 18 else Bottleneck
        inputs = self.add_stem(stem, width, stem_width or width)
        self.ceil_mode = ceil_mode
        for stage, (stride, first, others) in enumerate(plan):
            count = DEPTHS[depth][stage]
            dilations = [first] + [others] * (count - 1)
            if multi_grid and stage == 3:
                dilations = multi_grid
            layer = nn.Sequential()
            for index in range(count):
                step = stride if index == 0 else 1
                features = width * 2**stage
                layer.append(
                    block(inputs, features, step, dilations[index], caffe, average)
                )
                inputs = features * block.expansion
            self.add_module(f"layer{stage + 1}", layer)
        self.fc = nn.Linear(inputs, classes) if classes else None

    def add_stem(self, stem, width, half):
        """Adds the stem's layers under a publisher's names; returns its channels."""
        self.stem_names = ["conv1", "bn1", "relu"]
        if stem == "plain":
            self.conv1, self.bn1 = conv(3, width, 7, 2), nn.BatchNorm2d(width)
            return width
        convs = [conv(3, half, 3, 2), conv(half, half, 3), conv(half, 2 * half, 3)]
        layers = [(layer, nn.BatchNorm2d(layer.out_channels)) for layer in convs]
        if stem == "csail":
            self.stem_names = []
            for index, (layer, norm) in enumerate(layers, start=1):
                self.add_module(f"conv{index}", layer)
                self.add_module(f"bn{index}", norm)
                self.stem_names += [f"conv{index}", f"bn{index}", "relu"]
            return 2 * half
        whole = nn.Sequential(*[m for pair in layers for m in (*pair, nn.ReLU())])
        if stem == "mmseg":
            self.stem_names = ["stem"]
            self.stem = whole
        else:  # timm's last normalisation keeps the plain stem's name
            self.conv1, self.bn1 = whole[:7], whole[7]
        return 2 * half

    def stages(self, x):
        for name in self.stem_names:
            x = F.relu(x) if name == "relu" else self.get_submodule(name)(x)
        maps = [x]
        x = F.max_pool2d(x, 3, 2, 1, ceil_mode=self.ceil_mode)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            maps.append(x)
        return maps

    def forward(self, x):
        x = self.stages(x)[-1]
        return self.fc(x.mean((2, 3))) if self.fc else x


def conv_norm(inputs, outputs, size, dilation=1, bias=False):
    """Convolution .0, normalisation .1, ReLU .2."""
    layers = [conv(inputs, outputs, size, 1, dilation, bias), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.ReLU())


def resize(x, like, align_corners=False):
    return F.interpolate(x, like.shape[2:], None, "bilinear", align_corners)


def pooled(layer, x):
    return layer(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])


class TorchvisionASPP(nn.Module):
    def __init__(self, inputs, features, rates):
        super().__init__()
        pooling = nn.Sequential(nn.Identity(), *conv_norm(inputs, features, 1))
        self.convs = nn.ModuleList(
            [
                conv_norm(inputs, features, 1),
                *(conv_norm(inputs, features, 3, rate) for rate in rates),
                pooling,
            ]
        )
        self.project = conv_norm(features * len(self.convs), features, 1)

    def forward(self, x):
        *windows, pooling = self.convs
        branches = [*(window(x) for window in windows), pooled(pooling, x)]
        return self.project(torch.cat(branches, 1))


def fcn_head(inputs, features, classes):
    return nn.Sequential(
        *conv_norm(inputs, features, 3), nn.Identity(), nn.Conv2d(features, classes, 1)
    )


class TorchvisionSegmentor(nn.Module):
    """DeepLabV3 or FCN, with an auxiliary head on the third stage."""

    def __init__(self, backbone, channels, classes, features=256, deeplab=True):
        super().__init__()
        self.backbone = backbone
        self.classifier = fcn_head(channels, channels // 4, classes)
        if deeplab:
            self.classifier = nn.Sequential(
                TorchvisionASPP(channels, features, (12, 24, 36)),
                *conv_norm(features, features, 3),
                nn.Conv2d(features, classes, 1),
            )
        self.aux_classifier = fcn_head(channels // 2, channels // 8, classes)

    def forward(self, x):
        *_, third, fourth = self.backbone.stages(x)
        return (
            resize(self.classifier(fourth), x),
            resize(self.aux_classifier(third), x),
        )


class Scaled(nn.Module):
    """Caffe's DeepLabV2, whose sum of four is the logits."""

    def __init__(self, backbone, channels, features, rates=(6, 12, 18, 24)):
        super().__init__()
        self.Scale = backbone
        self.Scale.layer5 = nn.Module()
        self.Scale.layer5.conv2d_list = nn.ModuleList(
            conv(channels, features, 3, dilation=rate, bias=True) for rate in rates
        )

    def forward(self, x):
        x = self.Scale(x)
        return sum(window(x) for window in self.Scale.layer5.conv2d_list)


class ZS3Net(nn.Module):
    """DeepLabV3+ of the zero-shot code."""

    def __init__(self, backbone, low, channels, classes, features=256, skip=48):
        super().__init__()
        self.backbone = backbone
        self.aspp = nn.Module()
        for index, rate in enumerate((1, 6, 12, 18), start=1):
            branch = nn.Module()
            size = 1 if rate == 1 else 3
            branch.atrous_conv = conv(channels, features, size, dilation=rate)
            branch.bn = nn.BatchNorm2d(features)
            self.aspp.add_module(f"aspp{index}", branch)
        self.aspp.global_avg_pool = nn.Sequential(
            nn.Identity(), *conv_norm(channels, features, 1)
        )
        self.aspp.conv1 = conv(5 * features, features, 1)
        self.aspp.bn1 = nn.BatchNorm2d(features)
        self.decoder = nn.Module()
        self.decoder.conv1, self.decoder.bn1 = conv(low, skip, 1), nn.BatchNorm2d(skip)
        self.decoder.last_conv = nn.Sequential(
            *conv_norm(features + skip, features, 3),
            nn.Identity(),
            *conv_norm(features, features, 3),
            nn.Identity(),
        )
        self.decoder.pred_conv = nn.Conv2d(features, classes, 1)

    def forward(self, image):
        _, low, _, _, x = self.backbone.stages(image)
        aspp, decoder = self.aspp, self.decoder
        branches = [
            F.relu(branch.bn(branch.atrous_conv(x)))
            for branch in (aspp.aspp1, aspp.aspp2, aspp.aspp3, aspp.aspp4)
        ]
        branches.append(pooled(aspp.global_avg_pool, x))
        x = F.relu(aspp.bn1(aspp.conv1(torch.cat(branches, 1))))
        low = F.relu(decoder.bn1(decoder.conv1(low)))
        x = torch.cat([resize(x, low, True), low], 1)
        return (resize(decoder.pred_conv(decoder.last_conv(x)), image, True),)


class ConvModule(nn.Module):
    """A layer of mmseg: `conv`, `bn` and ReLU."""

    def __init__(self, inputs, outputs, size):
        super().__init__()
        self.conv, self.bn = conv(inputs, outputs, size), nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class MmsegHead(nn.Module):
    """PSP on the last stage; with `lateral`, UPerNet's pyramid on all of them."""

    def __init__(self, channels, features, classes, lateral=False):
        super().__init__()
        *finer, deepest = channels
        self.bins = (1, 2, 3, 6)
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(n), ConvModule(deepest, features, 1))
            for n in self.bins
        )
        self.bottleneck = ConvModule(deepest + 4 * features, features, 3)
        if lateral:
            self.lateral_convs = nn.ModuleList(
                ConvModule(inputs, features, 1) for inputs in finer
            )
            self.fpn_convs = nn.ModuleList(
                ConvModule(features, features, 3) for _ in finer
            )
            self.fpn_bottleneck = ConvModule(4 * features, features, 3)
        self.lateral = lateral
        self.conv_seg = nn.Conv2d(features, classes, 1)

    def forward(self, stages):
        *finer, x = stages
        x = torch.cat([x, *(resize(level(x), x) for level in self.psp_modules)], 1)
        x = self.bottleneck(x)
        if self.lateral:
            maps = [f(x) for f, x in zip(self.lateral_convs, finer, strict=True)] + [x]
            for index in (2, 1, 0):
                maps[index] = maps[index] + resize(maps[index + 1], maps[index])
            maps[:3] = [f(x) for f, x in zip(self.fpn_convs, maps[:3], strict=True)]
            x = torch.cat([resize(x, maps[0]) for x in maps], 1)
            x = self.fpn_bottleneck(x)
        return self.conv_seg(x)


class MmsegSegmentor(nn.Module):
    def __init__(self, backbone, head, channels, features, classes):
        super().__init__()
        self.backbone, self.decode_head = backbone, head
        self.auxiliary_head = nn.Module()
        self.auxiliary_head.convs = nn.ModuleList([ConvModule(channels, features, 3)])
        self.auxiliary_head.conv_seg = nn.Conv2d(features, classes, 1)

    def forward(self, x):
        _, *stages = self.backbone.stages(x)
        auxiliary = self.auxiliary_head.convs[0](stages[2])
        auxiliary = self.auxiliary_head.conv_seg(auxiliary)
        return resize(self.decode_head(stages), x), resize(auxiliary, x)


class BNReLU(nn.Sequential):
    """Openseg's normalisation: `.0`, and a ReLU."""

    def __init__(self, features):
        super().__init__(nn.BatchNorm2d(features), nn.ReLU())


class OpensegASPP(nn.Module):
    def __init__(self, inputs, features, rates):
        super().__init__()
        self.b0 = nn.Sequential(conv(inputs, features, 1), BNReLU(features))
        for index, rate in enumerate(rates, start=1):
            window = conv(inputs, features, 3, dilation=rate)
            self.add_module(f"b{index}", nn.Sequential(window, BNReLU(features)))
        self.b4 = nn.Sequential(
            nn.Identity(), conv(inputs, features, 1), BNReLU(features)
        )
        self.project = nn.Sequential(conv(5 * features, features, 3), BNReLU(features))

    def forward(self, x):
        branches = [branch(x) for branch in (self.b0, self.b1, self.b2, self.b3)]
        return self.project(torch.cat([*branches, pooled(self.b4, x)], 1))


class Openseg(nn.Module):
    """ContrastiveSeg's DeepLabV3, with the projection that inference drops."""

    def __init__(self, backbone, channels, features, auxiliary, classes):
        super().__init__()
        self.backbone = backbone
        self.proj_head = nn.Module()
        self.proj_head.proj = nn.Sequential(nn.Conv2d(channels, 8, 1))
        self.decoder = nn.Module()
        self.decoder.layer_dsn = nn.Sequential(
            conv(channels // 2, auxiliary, 3, bias=True),
            BNReLU(auxiliary),
            nn.Conv2d(auxiliary, classes, 1),
        )
        self.decoder.layer_aspp = OpensegASPP(channels, features, (12, 24, 36))
        self.decoder.refine = nn.Sequential(
            conv(features, features, 3),
            nn.BatchNorm2d(features),
            nn.Conv2d(features, classes, 1),
        )

    def forward(self, x):
        *_, third, fourth = self.backbone.stages(x)
        logits = self.decoder.refine(self.decoder.layer_aspp(fourth))
        return resize(logits, x, True), resize(self.decoder.layer_dsn(third), x, True)


def calmed(module):
    """With small residual branches, as trained; random ones amplify the rounding."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bn3.weight"):
                parameter *= 0.1
    return module
