"""Checks against CaGNet v2's code: patches, their classifier, the network over them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.labels import IGNORE
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.methods.cagnet import patches
from jaxseg.methods.cagnet.pixelcnn import PixelCNN, causal_mask
from jaxseg.models.heads.feature_classifier import FeatureClassifier
from tests.golden.case import Case


def v2_fill_ignored_labels(case: Case) -> None:
    fill = jax.jit(patches.fill_ignored, static_argnames="num_rounds")
    rounds = case.number("rolls")
    case.equal("filled", fill(jnp.asarray(case["patches"]), num_rounds=rounds))


def v2_pixelcnn(case: Case) -> None:
    """The network with given weights, of as many layers as the case has."""
    depth = sum(name.startswith("mask") for name in case.names)
    kernels = [case[f"w{i}_masked"] for i in range(1, depth + 1)]
    size, _, _, width = kernels[0].shape
    params, batch_stats = {}, {}
    for i, kernel in enumerate(kernels):
        case.equal(f"mask{i + 1}", causal_mask(size, with_centre=i > 0))
        scale, bias, mean, variance = case[f"bn{i + 1}"]
        params[f"kernel_{i}"] = kernel
        params[f"condition_{i}"] = case[f"cond{i + 1}"]
        params[f"norm_{i}"] = dict(scale=scale, bias=bias)
        batch_stats[f"norm_{i}"] = dict(mean=mean, var=variance)
    params["out"] = dict(kernel=case["w_out"], bias=case["b_out"])
    model = PixelCNN(width=width, depth=depth, kernel_size=size)
    logits = jax.jit(model.apply, static_argnames="train")(
        {"params": params, "batch_stats": batch_stats},
        jnp.asarray(case["labels"]),
        jnp.asarray(case["cond_labels"]),
        jnp.asarray(case["embeddings"]),
        train=False,
    )
    case.close("logits", logits, atol=1e-5, rtol=1e-5)


def v2_patchwise(case: Case) -> None:
    """The map of patches, the classifier on it, and the loss at the centres."""
    blocks = jnp.asarray(case["blocks"])
    side = blocks.shape[-1]
    _, rows, columns, _ = case["noise_per_block"].shape
    label_map = patches.tile(blocks, rows, columns)
    case.equal("label_map", label_map)
    np.testing.assert_array_equal(patches.cut(label_map, side), blocks)
    latent = jnp.asarray(case["noise_per_block"])
    case.close("noise_map", patches.repeat(latent, side))

    classifier = FeatureClassifier(
        hidden=case["w_fc"].shape[-1], window=len(case["w_cls3"])
    )
    layers = dict(
        trunk_layer=dict(kernel=case["w_fc"][None, None], bias=case["b_fc"]),
        window_layer=dict(kernel=case["w_cls3"], bias=case["b_cls3"]),
        classifier=dict(kernel=case["w_cls"][None, None], bias=case["b_cls"]),
    )
    num_classes = len(case["b_cls"])

    def classify(features: jax.Array) -> jax.Array:
        logits: Any = classifier.apply(
            {"params": layers}, features, (), num_classes, train=False
        )
        return logits[0]

    centres = patches.centre_labels(label_map, side)
    features = jnp.asarray(case["feat"])
    logits = jax.jit(classify)(features)
    case.close("cls_logits", logits, atol=1e-5, rtol=1e-5)
    everywhere = cross_entropy(logits, label_map)
    case.close("loss_all_pixels", everywhere, atol=1e-5, rtol=1e-5)

    @jax.jit
    @jax.value_and_grad
    def at_centres(features: jax.Array) -> jax.Array:
        return cross_entropy(classify(features), centres)

    loss, grad = at_centres(features)
    case.close("loss_center_only", loss, atol=1e-5, rtol=1e-5)
    case.close("grad_center_only", grad, atol=1e-5)
    counts = centres != IGNORE
    right = jnp.sum((jnp.argmax(logits, axis=-1) == centres) & counts)
    case.close("acc_center_only", right / jnp.maximum(jnp.sum(counts), 1), atol=1e-6)
    _acceptance(case)


def _acceptance(case: Case) -> None:
    seen, unseen = case.number("num_seen"), case.number("num_unseen")
    accepted = patches.is_acceptable(
        jnp.asarray(case["candidates"]),
        jnp.arange(seen + unseen) >= seen,
        min_unseen=case.number("min_unseen"),
        max_classes=case.number("max_classes"),
    )
    case.equal("accepted", accepted)
