"""VGG, SegNet and U-Net in torch with the names that are published, where there are.

Import by the fixture `torch`.
"""

import torch
import torch.nn.functional as F
from torch import nn


def layers(inputs, widths, bias):
    """Convolution, normalisation and ReLU for each width, counted through."""
    made = []
    for outputs in widths:
        made += [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
        inputs = outputs
    return made


class VGG(nn.Module):
    """torchvision's vgg16_bn; gives the maps before their poolings."""

    def __init__(self, widths=(64, 128, 256, 512, 512), num_classes=0):
        super().__init__()
        plan, inputs = [], 3
        for width, count in zip(widths, (2, 2, 3, 3, 3), strict=True):
            plan += [*layers(inputs, (width,) * count, bias=True), nn.MaxPool2d(2)]
            inputs = width
        self.features = nn.Sequential(*plan)
        if num_classes:
            self.classifier = nn.Sequential(nn.Linear(49 * inputs, num_classes))

    def forward(self, x):
        stages = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                stages.append(x)
            x = layer(x)
        return stages


class SegNet(nn.Module):
    """The decoder, of any widths: pools with indices and unpools with them."""

    def __init__(self, inputs, plan):
        super().__init__()
        self.blocks = nn.ModuleList()
        for widths in plan:
            self.blocks.append(nn.Sequential(*layers(inputs, widths, bias=True)))
            inputs = widths[-1]

    def forward(self, stages):
        found = [F.max_pool2d(x, 2, return_indices=True)[1] for x in stages]
        x = F.max_pool2d(stages[-1], 2)
        levels = []
        for stage, indices, block in zip(
            reversed(stages), reversed(found), self.blocks, strict=True
        ):
            x = block(F.max_unpool2d(x, indices, 2, output_size=stage.shape[2:]))
            levels.append(x)
        return levels


class Pair(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.double_conv = nn.Sequential(*layers(inputs, (outputs,) * 2, bias=False))

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), Pair(inputs, outputs))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, 2)
        self.conv = Pair(2 * outputs, outputs)

    def forward(self, x, skip):
        x = self.up(x)
        rows, columns = (
            wanted - size
            for wanted, size in zip(skip.shape[2:], x.shape[2:], strict=True)
        )
        x = F.pad(x, (0, columns, 0, rows))
        return self.conv(torch.cat([skip, x], 1))


class UNet(nn.Module):
    """Pytorch-UNet with transposed convolutions."""

    def __init__(self, num_classes, width=64):
        super().__init__()
        self.inc = Pair(3, width)
        for index in range(4):
            inputs = width * 2**index
            self.add_module(f"down{index + 1}", Down(inputs, 2 * inputs))
            self.add_module(f"up{4 - index}", Up(2 * inputs, inputs))
        self.outc = nn.Module()
        self.outc.conv = nn.Conv2d(width, num_classes, 1)

    def forward(self, x):
        stages = [self.inc(x)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            stages.append(down(stages[-1]))
        *skips, x = stages
        ups = (self.up1, self.up2, self.up3, self.up4)
        for up, skip in zip(ups, reversed(skips), strict=True):
            x = up(x, skip)
        return self.outc.conv(x)
