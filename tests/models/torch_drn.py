"""DRN and SAZS's network in torch with the names that are published.

Import by the fixture `torch`; every module's `state_dict` is what a file holds.
"""

import torch
import torch.nn.functional as F
from torch import nn

from tests.models.torch_resnet import BasicBlock, Bottleneck, conv

DEPTHS = {
    22: (BasicBlock, (1, 1, 2, 2, 2, 2, 1, 1)),
    54: (Bottleneck, (1, 1, 3, 4, 6, 3, 1, 1)),
}
CHANNELS = (16, 32, 64, 128, 256, 512, 512, 512)


def levels(depth, channels=CHANNELS, blocks=None):
    """The nine levels, the first of which is a 7x7 convolution."""
    kind, published = DEPTHS[depth]
    first = nn.Sequential(
        conv(3, channels[0], 7), nn.BatchNorm2d(channels[0]), nn.ReLU()
    )
    made, inputs = [first], channels[0]
    strides, dilations = (1, 2, 2, 2, 1, 1, 1, 1), (1, 1, 1, 1, 2, 4, 2, 1)
    plan = zip(channels, blocks or published, strides, dilations, strict=True)
    for level, (features, count, stride, dilation) in enumerate(plan, start=1):
        layers = []
        for index in range(count):
            step = stride if index == 0 else 1
            if 3 <= level <= 6:
                layers.append(kind(inputs, features, step, dilation, False, False))
                inputs = features * kind.expansion
            else:
                layers += [
                    conv(inputs, features, 3, step, dilation),
                    nn.BatchNorm2d(features),
                    nn.ReLU(),
                ]
                inputs = features
        made.append(nn.Sequential(*layers))
    return made


class DRN(nn.Module):
    """For ImageNet; gives all levels but the first, and the classifier's logits."""

    def __init__(self, depth, channels=CHANNELS, blocks=None, num_classes=1000):
        super().__init__()
        for index, level in enumerate(levels(depth, channels, blocks)):
            self.add_module(f"layer{index}", level)
        self.fc = nn.Conv2d(channels[-1], num_classes, 1)

    def forward(self, x):
        x, stages = self.layer0(x), []
        for index in range(1, 9):
            x = getattr(self, f"layer{index}")(x)
            stages.append(x)
        return stages, self.fc(x.mean((2, 3), keepdim=True)).flatten(1)


class DRNSeg(nn.Module):
    """The authors' segmentor; gives the logits before their enlargement."""

    def __init__(self, *fields, channels, num_classes):
        super().__init__()
        self.base = nn.Sequential(*levels(*fields, channels))
        self.seg = nn.Conv2d(channels[-1], num_classes, 1)
        self.up = nn.ConvTranspose2d(
            num_classes, num_classes, 16, 8, 4, groups=num_classes, bias=False
        )

    def forward(self, x):
        return self.seg(self.base(x))


class SAZS(nn.Module):
    """Levels and pyramid; gives the features that words are compared with."""

    def __init__(self, *fields, channels, features):
        super().__init__()
        self.base = nn.Sequential(*levels(*fields, channels))
        width = channels[-1]
        for size in (1, 2, 3, 6):
            self.add_module(f"pool{size}_conv", conv(width, width, 1))
            self.add_module(f"pool{size}_bn", nn.BatchNorm2d(width))
        self.fc1 = conv(5 * width, features, 3)
        self.fc1_bn = nn.BatchNorm2d(features)
        self.fc2 = nn.Conv2d(features, 2, 1)
        self.edgeocr_cls_head = nn.Conv2d(features, 1, 1)

    def forward(self, x):
        x = self.base(x)
        maps = [x]
        for size in (1, 2, 3, 6):
            level = getattr(self, f"pool{size}_conv")(F.adaptive_avg_pool2d(x, size))
            level = F.relu(getattr(self, f"pool{size}_bn")(level))
            maps.append(F.interpolate(level, x.shape[2:], mode="bilinear"))
        return F.relu(self.fc1_bn(self.fc1(torch.cat(maps, 1))))
