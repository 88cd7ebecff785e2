"""MobileNets in torch under the names of torchvision and timm; import by a fixture.

Each returns the backbone's stages at strides 2 to 32 and the classifier's logits.
"""

import torch.nn.functional as F
from torch import nn

from tests.models import torch_resnet


def normalised(inputs, outputs, size=1, stride=1, groups=1, dilation=1, epsilon=1e-5):
    pad = dilation * (size - 1) // 2
    conv = nn.Conv2d(inputs, outputs, size, stride, pad, dilation, groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=epsilon))


class TorchvisionV2Block(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        wide = inputs * expansion
        layers = [] if expansion == 1 else [normalised(inputs, wide).append(nn.ReLU6())]
        depthwise = normalised(wide, wide, 3, stride, groups=wide).append(nn.ReLU6())
        self.conv = nn.Sequential(*layers, depthwise, *normalised(wide, outputs))
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.is_residual else self.conv(x)


class TorchvisionV2(nn.Module):
    """mobilenet_v2: blocks count through, from the stem to the last convolution."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(normalised(3, 32, 3, 2).append(nn.ReLU6()))
        inputs = 32
        for expansion, outputs, count, stride in (
            *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
            *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
        ):
            for index in range(count):
                self.features.append(
                    TorchvisionV2Block(
                        inputs, outputs, stride if index == 0 else 1, expansion
                    )
                )
                inputs = outputs
        self.features.append(normalised(320, 1280).append(nn.ReLU6()))
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(1280, 1000))

    def forward(self, x):
        stages = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in (1, 3, 6, 13, 17, 18):
                stages.append(x)
        return stages, self.classifier(x.mean((2, 3)))


class TimmBlock(nn.Module):
    """timm's names, `conv_pw` first where there is an expansion, last where not."""

    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        wide = inputs * expansion
        depthwise = normalised(wide, wide, 3, stride, groups=wide)
        if expansion == 1:
            convs = {"conv_dw": depthwise, "conv_pw": normalised(wide, outputs)}
        else:
            convs = {
                "conv_pw": normalised(inputs, wide),
                "conv_dw": depthwise,
                "conv_pwl": normalised(wide, outputs),
            }
        for number, (name, (conv, norm)) in enumerate(convs.items(), 1):
            self.add_module(name, conv)
            self.add_module(f"bn{number}", norm)
        self.names = tuple(convs)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x):
        y = x
        for number, name in enumerate(self.names, 1):
            y = self.get_submodule(f"bn{number}")(self.get_submodule(name)(y))
            if number < len(self.names):
                y = F.relu6(y)
        return x + y if self.is_residual else y


class TimmV2(nn.Module):
    """mobilenetv2_100: a sequence per row of the paper's table."""

    def __init__(self):
        super().__init__()
        self.conv_stem, self.bn1 = normalised(3, 32, 3, 2)
        self.blocks = nn.Sequential()
        inputs = 32
        for expansion, outputs, count, stride in (
            *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
            *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
        ):
            stage = nn.Sequential()
            for index in range(count):
                first = index == 0
                stage.append(
                    TimmBlock(inputs, outputs, stride if first else 1, expansion)
                )
                inputs = outputs
            self.blocks.append(stage)
        self.conv_head, self.bn2 = normalised(320, 1280)
        self.classifier = nn.Linear(1280, 1000)

    def forward(self, x):
        x = self.blocks(F.relu6(self.bn1(self.conv_stem(x))))
        x = F.relu6(self.bn2(self.conv_head(x)))
        return self.classifier(x.mean((2, 3)))


class Squeeze(nn.Module):
    def __init__(self, channels):
        super().__init__()
        fewer = max(8, (channels // 4 + 4) // 8 * 8)
        fewer += 8 * (fewer < 0.9 * (channels // 4))
        self.fc1 = nn.Conv2d(channels, fewer, 1)
        self.fc2 = nn.Conv2d(fewer, channels, 1)

    def forward(self, x):
        weights = self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1))))
        return F.hardsigmoid(weights) * x


class TorchvisionV3Block(nn.Module):
    def __init__(self, inputs, size, wide, outputs, squeezes, swish, stride, dilation):
        super().__init__()
        activation = nn.Hardswish if swish else nn.ReLU
        layers = []
        if wide != inputs:
            layers.append(normalised(inputs, wide, epsilon=1e-3).append(activation()))
        layers.append(
            normalised(
                *(wide, wide, size, 1 if dilation > 1 else stride, wide, dilation),
                epsilon=1e-3,
            ).append(activation())
        )
        if squeezes:
            layers.append(Squeeze(wide))
        layers.append(normalised(wide, outputs, epsilon=1e-3))
        self.block = nn.Sequential(*layers)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.block(x) if self.is_residual else self.block(x)


class TorchvisionV3Large(nn.Module):
    """mobilenet_v3_large; with `dilated`, as below torchvision's DeepLabV3."""

    def __init__(self, dilated=False):
        super().__init__()
        d = 2 if dilated else 1
        rows = (  # window, expanded, out, squeezes, hard swish, stride, dilation
            *(
                (3, 16, 16, 0, 0, 1, 1),
                (3, 64, 24, 0, 0, 2, 1),
                (3, 72, 24, 0, 0, 1, 1),
            ),
            *((5, 72, 40, 1, 0, 2, 1), *[(5, 120, 40, 1, 0, 1, 1)] * 2),
            *((3, 240, 80, 0, 1, 2, 1), (3, 200, 80, 0, 1, 1, 1)),
            *[(3, 184, 80, 0, 1, 1, 1)] * 2,
            *((3, 480, 112, 1, 1, 1, 1), (3, 672, 112, 1, 1, 1, 1)),
            *((5, 672, 160, 1, 1, 2, d), *[(5, 960, 160, 1, 1, 1, d)] * 2),
        )
        self.features = nn.Sequential(
            normalised(3, 16, 3, 2, epsilon=1e-3).append(nn.Hardswish())
        )
        inputs = 16
        for row in rows:
            self.features.append(TorchvisionV3Block(inputs, *row))
            inputs = row[2]
        self.features.append(normalised(160, 960, epsilon=1e-3).append(nn.Hardswish()))
        self.classifier = nn.Sequential(
            *(nn.Linear(960, 1280), nn.Hardswish(), nn.Dropout(0.0)),
            nn.Linear(1280, 1000),
        )

    def forward(self, x):
        stages = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in (1, 3, 6, 12, 16):
                stages.append(x)
        return stages, self.classifier(x.mean((2, 3)))


class TorchvisionDeepLabV3(nn.Module):
    """deeplabv3_mobilenet_v3_large, before the enlargement of the logits."""

    def __init__(self, classes):
        super().__init__()
        self.backbone = TorchvisionV3Large(dilated=True).features
        self.classifier = nn.Sequential(
            torch_resnet.TorchvisionASPP(960, 256, (12, 24, 36)),
            *torch_resnet.conv_norm(256, 256, 3),
            nn.Conv2d(256, classes, 1),
        )
        self.aux_classifier = torch_resnet.fcn_head(40, 10, classes)

    def forward(self, x):
        # Place -4 of theirs: the stem, blocks with a stride (2, 4, 7, 13), the last.
        early = self.backbone[:5](x)
        return self.classifier(self.backbone[5:](early)), self.aux_classifier(early)
