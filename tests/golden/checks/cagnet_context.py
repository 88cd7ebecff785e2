"""Checks of the contextual module and of its codes' divergence."""

import jax
import jax.numpy as jnp

from jaxseg.losses.divergence import standard_normal_divergence
from jaxseg.models.heads.context import ContextModule
from jaxseg.ops.scales import labels_at
from tests.golden.case import Case

_KERNELS = {
    "scale_0": "w_ctx1",
    "scale_1": "w_ctx2",
    "scale_2": "w_ctx3",
    "selector": "w_selector",
    "pool": "w_pool",
    "mean": "w_mu",
    "log_variance": "w_logvar",
}


def context_module(case: Case) -> None:
    """The maps, the codes, the features, the divergence, and gradients of their sum."""
    params = {}
    for ours, name in _KERNELS.items():
        kernel = case[name]
        params[ours] = {"kernel": kernel if kernel.ndim == 4 else kernel[None, None]}
    module = ContextModule(width=case["w_ctx1"].shape[-1], parity_relu=True)
    eps, train = case["eps"], case.number("train")
    noise = jnp.asarray(eps) if train else None
    h = jnp.asarray(case["h"])
    mask = labels_at(jnp.asarray(case["mask"]), h.shape[1:3])
    coef_feature, coef_z = case["coef_feature"], case["coef_z"]

    def total(params, h):
        context = module.apply({"params": params}, h, noise)
        kl = standard_normal_divergence(context.mean, context.log_variance, mask)
        features = jnp.sum(coef_feature * context.features)
        codes = jnp.sum(coef_z * context.latent)
        return 3 * kl + features + codes, (context, kl)

    gradient = jax.grad(total, argnums=(0, 1), has_aux=True)
    (of_params, of_h), (context, kl) = gradient(params, h)
    tolerance = {"atol": 1e-5, "rtol": 1e-5}
    for index, scale in enumerate(context.scales):
        case.close(f"ctx{index + 1}", scale, **tolerance)
    case.close("scale_weights", context.scale_weights, **tolerance)
    case.close("mu", context.mean, **tolerance)
    case.close("logvar", context.log_variance, **tolerance)
    case.close("z", context.latent, **tolerance)
    case.close("feature", context.features, **tolerance)
    case.close("kl", kl, **tolerance)
    loose = {"atol": 1e-4, "rtol": 1e-4}
    case.close("grad_h", of_h, **loose)
    for ours in ("selector", "scale_2", "log_variance"):
        kernel = of_params[ours]["kernel"]
        case.close(f"grad_{_KERNELS[ours]}", kernel, **loose)


def kl(case: Case) -> None:
    """The divergence and its gradients."""

    def loss(mean, log_variance):
        return standard_normal_divergence(mean, log_variance, case["mask"])

    value, (of_mean, of_log_variance) = jax.value_and_grad(loss, argnums=(0, 1))(
        case["mu"], case["logvar"]
    )
    case.close("kl", value, atol=1e-5, rtol=1e-5)
    case.close("grad_mu", of_mean, atol=1e-5, rtol=1e-5)
    case.close("grad_logvar", of_log_variance, atol=1e-5, rtol=1e-5)
