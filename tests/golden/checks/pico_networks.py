"""Checks of network parts against the code that PiCo builds on, weights given."""

from typing import Any

import jax.numpy as jnp

from jaxseg.models.heads.deeplabv3 import ASPP
from jaxseg.models.heads.ocr import ContextAttention, class_contexts
from jaxseg.models.heads.projection import Projection
from tests.golden.case import Case


def module_aspp(case: Case) -> None:
    """DeepLabV3's pyramid with the weights of the file, in evaluation."""
    pyramid = ASPP(
        features=case["w/project.0.weight"].shape[-1],
        rates=(12, 24, 36),
        project_kernel=case["w/project.0.weight"].shape[0],
    )
    layers = {
        "point": _conv_norm(case, "w/b0.0", "w/b0.1.0"),
        "rate_0": _conv_norm(case, "w/b1.0", "w/b1.1.0"),
        "rate_1": _conv_norm(case, "w/b2.0", "w/b2.1.0"),
        "rate_2": _conv_norm(case, "w/b3.0", "w/b3.1.0"),
        "pool": _conv_norm(case, "w/b4.1", "w/b4.2.0"),
        "project": _conv_norm(case, "w/project.0", "w/project.1.0"),
    }
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name, (params, stats) in layers.items():
        if name.startswith("rate"):  # a 3x3 that might be separable wraps the layer
            params, stats = {"window": params}, {"window": stats}
        variables["params"][name] = params
        variables["batch_stats"][name] = stats
    ours = pyramid.apply(variables, jnp.asarray(case["x"]), train=False)
    case.close("y_eval", ours, rtol=1e-4, atol=1e-5)


def module_ocr_block(case: Case) -> None:
    """What the classes look like, and the attention to it, in evaluation."""
    pixels = jnp.asarray(case["feats"])
    contexts = class_contexts(pixels, jnp.asarray(case["aux_logits"]))
    case.close("context", contexts, rtol=1e-4, atol=1e-5)

    block = "w/object_context_block"
    layers = {
        "query_0": _conv_norm(case, f"{block}.f_pixel.0", f"{block}.f_pixel.1.0"),
        "query_1": _conv_norm(case, f"{block}.f_pixel.2", f"{block}.f_pixel.3.0"),
        "key_0": _conv_norm(case, f"{block}.f_object.0", f"{block}.f_object.1.0"),
        "key_1": _conv_norm(case, f"{block}.f_object.2", f"{block}.f_object.3.0"),
        "value": _conv_norm(case, f"{block}.f_down.0", f"{block}.f_down.1.0"),
        "output": _conv_norm(case, f"{block}.f_up.0", f"{block}.f_up.1.0"),
        "join": _conv_norm(case, "w/conv_bn_dropout.0", "w/conv_bn_dropout.1.0"),
    }
    attention = ContextAttention(case[f"{block}.f_down.0.bias"].size)
    variables = {
        "params": {name: params for name, (params, _) in layers.items()},
        "batch_stats": {name: stats for name, (_, stats) in layers.items()},
    }
    ours = attention.apply(variables, pixels, contexts, train=False)
    case.close("y_eval", ours, rtol=1e-4, atol=1e-5)


def module_proj_head(case: Case) -> None:
    """The projection with the weights of the file, in evaluation and in training."""
    x = jnp.asarray(case["x"])
    params, stats = _conv_norm(case, "w/proj.0", "w/proj.1.0")
    project = _conv(case, "w/proj.2")
    head = Projection(features=project["bias"].size)
    variables = {
        "params": {"hidden": params, "project": project},
        "batch_stats": {"hidden": stats},
    }
    ours = head.apply(variables, x, train=False)
    case.close("y_eval", ours, rtol=1e-4, atol=1e-5)
    ours, after = head.apply(variables, x, train=True, mutable=["batch_stats"])
    case.close("y_train", ours, rtol=1e-4, atol=1e-5)

    norm = after["batch_stats"]["hidden"]["norm"]
    case.close("running_mean_after", norm["mean"], rtol=1e-4, atol=1e-5)
    # The file's batch variance is divided by n - 1, ours by n, as the one that
    # normalises. Converted is the tenth of it that was added; the rest is the same.
    b, h, w, _ = x.shape
    n = b * h * w
    kept = 0.9 * stats["norm"]["var"]
    unbiased = kept + (norm["var"] - kept) * n / (n - 1)
    case.close("running_var_after", unbiased, rtol=1e-4, atol=1e-5)


def _conv_norm(
    case: Case, conv: str, norm: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads the parameters and the running statistics of a `ConvNorm`."""
    params = {
        "conv": _conv(case, conv),
        "norm": {"scale": case[f"{norm}.weight"], "bias": case[f"{norm}.bias"]},
    }
    stats = {
        "norm": {
            "mean": case[f"{norm}.running_mean"],
            "var": case[f"{norm}.running_var"],
        }
    }
    return params, stats


def _conv(case: Case, name: str) -> dict[str, Any]:
    """Reads the parameters of a `Conv`, with its bias if it has one."""
    params = {"kernel": case[f"{name}.weight"]}
    if f"{name}.bias" in case:
        params["bias"] = case[f"{name}.bias"]
    return params
