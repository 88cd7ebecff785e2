"""HRNet and OCR in torch with the names that are published; import by a fixture."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.models.torch_resnet import BasicBlock, Bottleneck


def conv_norm(inputs, outputs, size, stride=1, relu=True):
    layers = [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


def block(kind, inputs, features):
    return kind(inputs, features, stride=1, dilation=1, caffe=False, average=False)


class Exchange(nn.Module):
    """A module of HRNet: blocks on each branch, then each branch into all others."""

    def __init__(self, widths, blocks, resize):
        super().__init__()
        self.resize = resize
        self.branches = nn.ModuleList(
            nn.Sequential(*[block(BasicBlock, width, width) for _ in range(blocks)])
            for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self.path(widths, source, i) for source in range(len(widths)))
            for i in range(len(widths))
        )

    def path(self, widths, source, i):
        if source == i:
            return nn.Identity()
        inputs, outputs = widths[source], widths[i]
        if source > i:
            return conv_norm(inputs, outputs, 1, relu=False)
        halvings = [conv_norm(inputs, inputs, 3, 2) for _ in range(i - source - 1)]
        return nn.Sequential(*halvings, conv_norm(inputs, outputs, 3, 2, relu=False))

    def forward(self, maps):
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for target, paths in zip(maps, self.fuse_layers, strict=True):
            parts = [path(x) for path, x in zip(paths, maps, strict=True)]
            parts = [F.interpolate(x, target.shape[2:], **self.resize) for x in parts]
            fused.append(F.relu(sum(parts)))
        return fused


ALIGNED = dict(mode="bilinear", align_corners=True)


class HRNet(nn.Module):
    def __init__(self, width, modules=(1, 4, 3), blocks=4, stem=64, resize=ALIGNED):
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.conv2 = nn.Conv2d(stem, stem, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem)
        inputs = [stem] + [4 * stem] * (blocks - 1)
        self.layer1 = nn.Sequential(*[block(Bottleneck, d, stem) for d in inputs])
        widths = [width * 2**i for i in range(4)]
        self.widths = widths
        self.transition1 = nn.ModuleList(
            [
                conv_norm(4 * stem, widths[0], 3),
                nn.Sequential(conv_norm(4 * stem, widths[1], 3, 2)),
            ]
        )
        self.transition2, self.transition3 = (
            nn.ModuleDict(
                {str(n): nn.Sequential(conv_norm(widths[n - 1], widths[n], 3, 2))}
            )
            for n in (2, 3)
        )
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(
                *[Exchange(widths[:n], blocks, resize) for _ in range(num_modules)]
            )
            for n, num_modules in zip((2, 3, 4), modules, strict=True)
        )

    def forward(self, x):
        return self.branches(x)

    def branches(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer1(F.relu(self.bn2(self.conv2(x))))
        maps = self.stage2([layer(x) for layer in self.transition1])
        maps = self.stage3([*maps, self.transition2["2"](maps[-1])])
        return self.stage4([*maps, self.transition3["3"](maps[-1])])


def joined(maps):
    size = maps[0].shape[2:]
    return torch.cat([F.interpolate(x, size, **ALIGNED) for x in maps], 1)


def norm_relu(features):
    """openseg wraps the two, so that the normalisation's name ends in `.0`."""
    return nn.Sequential(nn.BatchNorm2d(features), nn.ReLU())


class ObjectContextBlock(nn.Module):
    """Attention of pixels to the descriptions of the classes."""

    def __init__(self, features, key_features, bias):
        super().__init__()
        self.f_pixel = self.points(features, key_features, key_features, bias=bias)
        self.f_object = self.points(features, key_features, key_features, bias=bias)
        self.f_down = self.points(features, key_features, bias=bias)
        self.f_up = self.points(key_features, features, bias=bias)

    def points(self, *widths, bias):
        layers = []
        for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Conv2d(inputs, outputs, 1, bias=bias), norm_relu(outputs)]
        return nn.Sequential(*layers)

    def forward(self, pixels, contexts):
        query = self.f_pixel(pixels).flatten(2).transpose(1, 2)
        key = self.f_object(contexts).flatten(2)
        value = self.f_down(contexts).flatten(2).transpose(1, 2)
        weights = torch.softmax(query @ key / key.shape[1] ** 0.5, dim=-1)
        mixed = (weights @ value).transpose(1, 2)
        return self.f_up(mixed.unflatten(2, pixels.shape[2:]))


class SpatialOCR(nn.Module):
    def __init__(self, features, key_features, bias):
        super().__init__()
        self.object_context_block = ObjectContextBlock(features, key_features, bias)
        self.conv_bn_dropout = nn.Sequential(
            nn.Conv2d(2 * features, features, 1, bias=bias), norm_relu(features)
        )

    def forward(self, pixels, classes):
        weights = torch.softmax(classes.flatten(2), dim=2)
        contexts = weights @ pixels.flatten(2).transpose(1, 2)  # [B, C, D]
        contexts = contexts.transpose(1, 2)[..., None]
        mixed = self.object_context_block(pixels, contexts)
        return self.conv_bn_dropout(torch.cat([mixed, pixels], 1))


class Openseg(nn.Module):
    """openseg's HRNet, with the plain head; gives logits."""

    def __init__(self, backbone, num_classes):
        super().__init__()
        self.backbone = backbone
        width = sum(backbone.widths)
        self.cls_head = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            norm_relu(width),
            nn.Dropout2d(0),
            nn.Conv2d(width, num_classes, 1, bias=False),
        )

    def forward(self, x):
        return self.cls_head(joined(self.backbone(x)))


class OpensegOCR(nn.Module):
    """openseg's HRNet with OCR; gives the auxiliary logits and the logits."""

    def __init__(self, backbone, features, key_features, num_classes):
        super().__init__()
        self.backbone = backbone
        width = sum(backbone.widths)
        self.conv3x3 = nn.Sequential(
            nn.Conv2d(width, features, 3, padding=1), norm_relu(features)
        )
        self.ocr_distri_head = SpatialOCR(features, key_features, bias=True)
        self.cls_head = nn.Conv2d(features, num_classes, 1)
        self.aux_head = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            norm_relu(width),
            nn.Conv2d(width, num_classes, 1),
        )

    def forward(self, x):
        x = joined(self.backbone(x))
        classes = self.aux_head(x)
        features = self.ocr_distri_head(self.conv3x3(x), classes)
        return classes, self.cls_head(features)


class AuthorsOCR(HRNet):
    """The authors' HRNet with OCR: a 1x1 auxiliary head, an attention without bias."""

    def __init__(self, width, features, key_features, num_classes, **fields):
        super().__init__(width, **fields)
        width = sum(self.widths)
        self.conv3x3_ocr = nn.Sequential(
            nn.Conv2d(width, features, 3, padding=1),
            nn.BatchNorm2d(features),
            nn.ReLU(),
        )
        self.ocr_distri_head = SpatialOCR(features, key_features, bias=False)
        self.cls_head = nn.Conv2d(features, num_classes, 1)
        self.aux_head = self.points(width, num_classes)

    def points(self, width, num_classes):
        return nn.Sequential(
            nn.Conv2d(width, width, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, num_classes, 1),
        )

    def forward(self, x):
        x = joined(self.branches(x))
        classes = self.aux_head(x)
        features = self.ocr_distri_head(self.conv3x3_ocr(x), classes)
        return classes, self.cls_head(features)


class ResNetOCR(nn.Module):
    """openseg's OCR on a ResNet; gives the auxiliary logits and the logits."""

    def __init__(self, backbone, channels, features, key_features, num_classes):
        super().__init__()
        self.backbone = backbone
        self.conv_3x3 = nn.Sequential(
            nn.Conv2d(channels, features, 3, padding=1), norm_relu(features)
        )
        self.spatial_ocr_head = SpatialOCR(features, key_features, bias=True)
        self.head = nn.Conv2d(features, num_classes, 1)
        self.dsn_head = nn.Sequential(
            nn.Conv2d(channels // 2, features, 3, padding=1),
            norm_relu(features),
            nn.Dropout2d(0),
            nn.Conv2d(features, num_classes, 1),
        )

    def forward(self, x):
        *_, third, fourth = self.backbone.stages(x)
        classes = self.dsn_head(third)
        features = self.spatial_ocr_head(self.conv_3x3(fourth), classes)
        return classes, self.head(features)


class Authors(AuthorsOCR):
    """The authors' HRNet with the plain head, of 1x1 convolutions."""

    def __init__(self, width, num_classes, **fields):
        HRNet.__init__(self, width, **fields)
        self.last_layer = self.points(sum(self.widths), num_classes)

    def forward(self, x):
        return self.last_layer(joined(self.branches(x)))
