"""Renames TensorFlow's MobileNetV2 weights, whose normalisations are folded in."""

from collections.abc import Mapping

import numpy as np

from jaxseg.models.backbones.mobilenet_v2 import EPSILON

PREFIX = "MobilenetV2/"
CLASSIFIER = ("MobilenetV2/Conv_1/", "MobilenetV2/Logits/")

Flat = dict[tuple[str, ...], np.ndarray]


def rename(tensors: Mapping[str, np.ndarray]) -> tuple[Flat, Flat, tuple[str, ...]]:
    """Sorts published tensors into parameters and batch statistics of the backbone.

    `MobilenetV2/expanded_conv_3/expand/weights` becomes the kernel of the convolution
    `expanded_conv_3/expand/conv`; its bias becomes the offset of a normalisation that
    otherwise changes nothing: scale 1, mean 0, variance 1 - epsilon. That holds in
    evaluation only; before training, see `jaxseg.pretrained.calibration`.

    Args:
        tensors: by published name; kernels [kh, kw, in, out], depthwise [kh, kw, 1, D].

    Returns:
        Parameters and batch statistics by path, float32, and the names left over: those
        of the ImageNet classifier.

    Raises:
        ValueError: names that do not belong to this network.
    """
    foreign = sorted(
        name
        for name in tensors
        if not name.startswith(PREFIX) or not name.endswith(("/weights", "/biases"))
    )
    if foreign:
        raise ValueError(f"not tensors of a folded MobileNetV2: {', '.join(foreign)}")

    params: Flat = {}
    batch_stats: Flat = {}
    ignored = []
    for name, tensor in tensors.items():
        if name.startswith(CLASSIFIER):
            ignored.append(name)
            continue
        *path, kind = name.removeprefix(PREFIX).split("/")
        values = np.asarray(tensor, np.float32)
        if kind == "weights":
            params[(*path, "conv", "kernel")] = values
        else:
            params[(*path, "norm", "bias")] = values
            params[(*path, "norm", "scale")] = np.ones_like(values)
            batch_stats[(*path, "norm", "mean")] = np.zeros_like(values)
            batch_stats[(*path, "norm", "var")] = np.full_like(values, 1 - EPSILON)
    return params, batch_stats, tuple(sorted(ignored))
