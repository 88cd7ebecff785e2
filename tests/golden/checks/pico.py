"""Checks against PiCo's code and what it builds on.

Those of contrast, anchors and memory are in `pico_contrast`, those of chosen examples
and mixes in `pico_examples`, those of network parts in `pico_networks`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.labels import IGNORE
from jaxseg.losses.cross_entropy import cross_entropy, ohem_cross_entropy
from jaxseg.metrics import iou
from jaxseg.metrics.confusion import confusion_matrix
from jaxseg.ops.resize import resize_bilinear, resize_nearest
from jaxseg.optimizers import poly
from tests.golden.case import Case
from tests.golden.checks.pico_contrast import (
    contrast_batch,
    contrast_mem,
    enqueue,
    joint,
    sampler,
)
from tests.golden.checks.pico_examples import examples, synthesis
from tests.golden.checks.pico_networks import (
    module_aspp,
    module_ocr_block,
    module_proj_head,
)

__all__ = [
    "ce",
    "contrast_batch",
    "contrast_mem",
    "enqueue",
    "examples",
    "joint",
    "miou",
    "module_aspp",
    "module_ocr_block",
    "module_proj_head",
    "poly_lr",
    "resize",
    "sampler",
    "synthesis",
]


def ce(case: Case) -> None:
    """Weighted cross entropy, whole and over hard pixels, with gradients."""
    logits, weights = case["logits"], case["class_weights"]
    target = np.where(case["target"] == case["ignore_label"], IGNORE, case["target"])

    def entropy(logits: jax.Array) -> jax.Array:
        return cross_entropy(logits, target, class_weights=weights)

    def hard_entropy(logits: jax.Array) -> jax.Array:
        return ohem_cross_entropy(
            logits,
            target,
            threshold=case["ohem_thresh"],
            min_kept=case.number("ohem_minkeep"),
            class_weights=weights,
        )

    for name, function in (("ce", entropy), ("ohem", hard_entropy)):
        loss, grad = jax.jit(jax.value_and_grad(function))(jnp.asarray(logits))
        expected, expected_grad = case[f"loss_{name}"], case[f"grad_{name}"]
        if np.isnan(expected):  # nothing to average: ours is defined as 0
            expected, expected_grad = 0.0, np.zeros_like(expected_grad)
        case.close_to(expected, loss, f"loss_{name}", rtol=1e-5)
        case.close_to(expected_grad, grad, f"grad_{name}", rtol=1e-4, atol=1e-7)


def miou(case: Case) -> None:
    """Confusion matrix and scores, with ids outside the classes in the truth."""
    confusion = np.asarray(
        confusion_matrix(
            case["label_true"],
            case["label_pred"],
            num_classes=case.number("num_classes"),
        )
    )
    case.equal("confusion", confusion)
    scores = iou.scores(confusion)
    for theirs, ours in (
        ("class_iou", "class_iou"),
        ("class_acc", "class_accuracy"),
        ("pixel_acc", "pixel_accuracy"),
        ("fwavacc", "frequency_weighted_iou"),
        ("miou", "mean_iou"),
    ):
        case.close(theirs, scores[ours], rtol=1e-6)


def poly_lr(case: Case) -> None:
    """The learning rate of a step, without and with a warm-up."""
    peak, power = case.number("base_lr"), case.number("power")
    total_steps = case.number("max_iters")
    steps = jnp.asarray(case["iters"])
    plain = poly(peak=peak, total_steps=total_steps, power=power)
    case.close("lr", jax.vmap(plain)(steps), rtol=1e-5)
    warm = poly(
        peak=peak,
        total_steps=total_steps,
        power=power,
        warmup_steps=case.number("warm_iters"),
        warmup_power=4.0,
    )
    case.close("lr_warm_backbone", jax.vmap(warm)(steps), rtol=1e-5)


def resize(case: Case) -> None:
    """Labels to the nearest, logits bilinearly with both corner conventions."""
    small = resize_nearest(case["labels_full"], case["labels_small"].shape[1:])
    case.equal("labels_small", small)
    for name, align_corners in (
        ("up_align_corners_true", True),
        ("up_align_corners_false", False),
    ):
        shape = case[name].shape[1:3]
        logits = jnp.asarray(case["logits"])
        ours = resize_bilinear(logits, shape, align_corners=align_corners)
        case.close(name, ours, atol=1e-5)
