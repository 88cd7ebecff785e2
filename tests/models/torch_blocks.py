"""Compact residual networks in torch, to compare ours with; import by the fixture.

Written after the published code rather than after ours; only submodules are named as
ours are, so that `variables_of` can hand over the weights.
"""

import re

import flax.traverse_util
import jax
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def settled(model, x):
    """The model in evaluation mode, no normalisation of which is the identity."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Larger scales would let fifty layers amplify the rounding.
            nn.init.uniform_(module.weight, 0.1, 0.3)
            nn.init.normal_(module.bias, std=0.1)
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(jax.tree.map(to_torch, x))
    return model.eval()


def variables_of(model):
    """A model's state as variables of ours, where `layer1.0` is called `layer1_0`."""
    variables = {}
    for name, value in model.state_dict().items():
        *path, kind = re.sub(r"\.(\d+)", r"_\1", name).split(".")
        value = value.numpy()
        if kind.startswith("running_"):
            variables["batch_stats", *path, kind.removeprefix("running_")] = value
        elif value.ndim == 4:
            variables["params", *path, "kernel"] = value.transpose(2, 3, 1, 0)
        elif kind in ("weight", "bias"):
            kind = "scale" if kind == "weight" else "bias"
            variables["params", *path, kind] = value
    return flax.traverse_util.unflatten_dict(variables)


def run(model, x):
    """What a model makes of one map [B, H, W, D] or of a list of them, likewise."""
    with torch.no_grad():
        y = model(jax.tree.map(to_torch, x))
    return jax.tree.map(lambda y: np.moveaxis(y.numpy(), 1, -1), y)


def to_torch(x):
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1))


def num_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


class ConvNorm(nn.Sequential):
    def __init__(self, inputs, outputs, size, stride=1, dilation=1, relu=True):
        super().__init__()
        pad = dilation * (size // 2)
        conv = nn.Conv2d(inputs, outputs, size, stride, pad, dilation, bias=False)
        self.add_module("conv", conv)
        self.add_module("norm", nn.BatchNorm2d(outputs))
        if relu:
            self.add_module("relu", nn.ReLU())


class BasicBlock(nn.Module):
    def __init__(self, inputs, features, stride=1):
        super().__init__()
        self.conv1 = ConvNorm(inputs, features, 3, stride)
        self.conv2 = ConvNorm(features, features, 3, relu=False)
        if stride > 1 or inputs != features:
            self.downsample = ConvNorm(inputs, features, 1, stride, relu=False)

    def forward(self, x):
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        return F.relu(shortcut + self.conv2(self.conv1(x)))


class Bottleneck(nn.Module):
    def __init__(self, inputs, features, stride=1, dilation=1):
        super().__init__()
        self.conv1 = ConvNorm(inputs, features, 1)
        self.conv2 = ConvNorm(features, features, 3, stride, dilation)
        self.conv3 = ConvNorm(features, 4 * features, 1, relu=False)
        if stride > 1 or inputs != 4 * features:
            self.downsample = ConvNorm(inputs, 4 * features, 1, stride, relu=False)

    def forward(self, x):
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        return F.relu(shortcut + self.conv3(self.conv2(self.conv1(x))))


class DilatedResNet(nn.Module):
    """ResNet at output stride 8 as PiCo's code has it: deep stem, pool in ceil mode."""

    def __init__(self, depths, width):
        super().__init__()
        self.stem = nn.Sequential(
            ConvNorm(3, width, 3, stride=2),
            ConvNorm(width, width, 3),
            ConvNorm(width, 2 * width, 3),
        )
        inputs = 2 * width
        # Stride of the first block, dilation of the first and of the other blocks.
        plan = [(1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)]
        for stage, (stride, first, others) in enumerate(plan):
            features = width * 2**stage
            layer = nn.Sequential(Bottleneck(inputs, features, stride, first))
            inputs = 4 * features
            for _ in range(depths[stage] - 1):
                layer.append(Bottleneck(inputs, features, 1, others))
            self.add_module(f"layer{stage + 1}", layer)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x), 3, 2, 1, ceil_mode=True)
        stages = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            stages.append(x)
        return stages
