"""Checks of network parts against the release of Self-Regulation, weights given."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.labels import IGNORE
from jaxseg.models.backbones.resnet import Bottleneck, ResNet
from jaxseg.models.heads.deeplabv2 import DeepLabV2Classifier
from jaxseg.models.heads.exit import Exit, ImageLogits
from jaxseg.ops.pooling import halve_by_maximum
from jaxseg.ops.resize import resize_bilinear, resize_nearest
from tests.golden.case import Case
from tests.models.fill import stage_shapes

Tree = dict[str, Any]


def head_exit(case: Case) -> None:
    """An exit, its gradient, and in training the statistics after one step."""
    train = "bn1_mean_after" in case
    layers = {
        f"conv{i}": _conv_norm(case, f"conv{i}", f"bn{i}", bias=f"conv{i}_bias")
        for i in (1, 2)
    }
    params = {name: params for name, (params, _) in layers.items()}
    params["classifier"] = {"kernel": case["out_kernel"], "bias": case["out_bias"]}
    params["image"] = _fc(case)
    variables = {
        "params": params,
        "batch_stats": {name: stats for name, (_, stats) in layers.items()},
    }
    *_, features, num_classes = case["out_kernel"].shape
    head = Exit(num_classes, features)

    def run(x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], Tree]:
        outputs, after = head.apply(variables, x, train=train, mutable=["batch_stats"])
        return outputs, after["batch_stats"]

    _compare_logits(case, lambda x: run(x)[0])
    if train:
        _, after = run(jnp.asarray(case["x"]))
        _compare_statistics(case, after)


def head_final(case: Case) -> None:
    """The last exit: DeepLabV2's sum of four, and its gradient."""
    kernels, biases = case["kernels"], case["biases"]
    decoder = DeepLabV2Classifier(tuple(case["rates"].tolist()))
    params = {
        f"rate_{i}": {"kernel": kernel, "bias": bias}
        for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True))
    }

    def run(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        num_classes = biases.shape[1]
        logits, _ = decoder.apply({"params": params}, x, (x,), num_classes, train=False)
        return logits, ImageLogits().apply({"params": _fc(case)}, logits)

    _compare_logits(case, run)


def bottleneck_caffe(case: Case) -> None:
    """A bottleneck with the stride in its first convolution, in evaluation."""
    layers = {f"conv{i}": _conv_norm(case, f"conv{i}", f"bn{i}") for i in (1, 2, 3)}
    if "down_kernel" in case:
        layers["downsample"] = _conv_norm(case, "down", "down_bn")
    variables = {
        "params": {name: params for name, (params, _) in layers.items()},
        "batch_stats": {name: stats for name, (_, stats) in layers.items()},
    }
    block = Bottleneck(
        case["conv1_kernel"].shape[-1],
        strides=case.number("stride"),
        dilations=(case.number("dilation"),) * 2,
        stride_in="1x1",
    )
    case.close("y", block.apply(variables, case["x"], False), atol=2e-5)


def exit_shapes_official(case: Case) -> None:
    """The sizes of stem, stages and logits of the released network."""
    backbone = ResNet(
        101,
        output_stride=16,
        dilations=(1, 1, 2, 4),
        stride_in="1x1",
        pool_ceil_mode=True,
        with_stem=True,
    )
    for (h, w), sizes in zip(case["input_hw"], case["exit_hw"], strict=True):
        shapes, _ = stage_shapes(backbone, (1, h, w, 3))
        wanted = [(1, *hw, d) for hw, d in zip(sizes, case["channels"], strict=True)]
        case.num_comparisons += 1
        assert shapes == wanted, (shapes, wanted)


def resize_pool_label(case: Case) -> None:
    """Pooling in both modes, and resizing of maps and of labels."""
    for index in range(sum(name.startswith("pool_x") for name in case.names)):
        x = jnp.asarray(case[f"pool_x{index}"])
        for mode, ceil_mode in (("ceil", True), ("floor", False)):
            ours = halve_by_maximum(x, ceil_mode=ceil_mode)
            case.close(f"pool_{mode}_y{index}", ours, atol=1e-5)
        for convention, align_corners in (("ac", True), ("hp", False)):
            name = f"bilinear_{convention}_y{index}"
            shape = case[name].shape[1:3]
            ours = resize_bilinear(x, shape, align_corners=align_corners)
            case.close(name, ours, atol=1e-5)
    for index in range(sum(name.startswith("label_in") for name in case.names)):
        label = case[f"label_in{index}"]
        shape = case[f"label_nn{index}"].shape[1:3]
        background = np.where(label == IGNORE, 0, label)
        case.equal(f"label_nn{index}", resize_nearest(background, shape))
        case.equal(f"label_nn_keep255_{index}", resize_nearest(label, shape))
        case.reference_only(
            f"label_vec{index}", reason="which classes there are is no resizing"
        )


def _compare_logits(
    case: Case, run: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
) -> None:
    """Compares pixel and image logits, their readings, and d (both readings) / d x."""
    cotangents = case["cot_seg_up"], case["cot_cls_prob"]
    size = cotangents[0].shape[1:3]

    def readings(x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], Any]:
        logits, image_logits = run(x)
        enlarged = resize_bilinear(logits, size, align_corners=True)
        return (enlarged, jax.nn.sigmoid(image_logits)), (logits, image_logits)

    x = jnp.asarray(case["x"])
    (enlarged, probability), pull, (logits, image_logits) = jax.vjp(
        readings, x, has_aux=True
    )
    case.close("seg_logits", logits, atol=1e-5)
    case.close("cls_logits", image_logits, atol=1e-5)
    case.close("seg_logits_up", enlarged, atol=1e-5)
    case.close("cls_prob", probability, atol=1e-5)
    (gradient,) = pull(tuple(jnp.asarray(cotangent) for cotangent in cotangents))
    case.close("d_x", gradient, atol=2e-5)


def _compare_statistics(case: Case, after: Tree) -> None:
    """Compares the running statistics of an exit after one step."""
    b, h, w, _ = case["x"].shape
    n = b * h * w
    for index in (1, 2):
        norm = after[f"conv{index}"]["norm"]
        case.close(f"bn{index}_mean_after", norm["mean"], atol=1e-5)
        # The file's batch variance is divided by n - 1, ours by n: of the tenth that
        # was added, that is made up for.
        kept = 0.9 * case[f"bn{index}_var"]
        unbiased = kept + (norm["var"] - kept) * n / (n - 1)
        case.close(f"bn{index}_var_after", unbiased, atol=1e-5)


def _conv_norm(
    case: Case, conv: str, norm: str, *, bias: str | None = None
) -> tuple[Tree, Tree]:
    """Reads the parameters and the running statistics of a `ConvNorm`."""
    kernel: Tree = {"kernel": case[f"{conv}_kernel"]}
    if bias:
        kernel["bias"] = case[bias]
    scale = {name: case[f"{norm}_{name}"] for name in ("scale", "bias")}
    stats = {name: case[f"{norm}_{name}"] for name in ("mean", "var")}
    return {"conv": kernel, "norm": scale}, {"norm": stats}


def _fc(case: Case) -> Tree:
    return {"fc": {"kernel": case["fc_kernel"], "bias": case["fc_bias"]}}
