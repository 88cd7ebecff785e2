"""Checks of the generator and of the discriminator with its classifier."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.methods.cagnet.network import Discriminator
from jaxseg.models.dropout import Dropout
from jaxseg.models.generator import Generator
from jaxseg.models.heads.feature_classifier import FeatureClassifier
from tests.golden.case import Case


def generator(case: Case) -> None:
    """Features and gradients, with the dropout masks of the file when training."""
    rates = tuple(float(rate) for rate in case["rates"])
    params = {
        f"layer_{i}": {"kernel": case[f"w{i}"], "bias": case[f"b{i}"]}
        for i in range(len(rates) + 1)
    }
    x = jnp.asarray(case["x"])
    keep = [case[f"keep{i}"] for i in range(len(rates))]
    train = bool(case.number("train"))
    network = Generator(
        features=params[f"layer_{len(rates)}"]["kernel"].shape[-1],
        hidden=tuple(
            params[f"layer_{i}"]["kernel"].shape[-1] for i in range(len(rates))
        ),
        dropout=rates,
    )

    def total(params, x):
        features = run(network, params, x, keep if train else None)
        return jnp.sum(case["coef"] * features), features

    (of_params, of_x), features = jax.grad(total, argnums=(0, 1), has_aux=True)(
        params, x
    )
    case.close("y", features, atol=1e-5, rtol=1e-5)
    case.close("grad_x", of_x, atol=1e-4, rtol=1e-4)
    case.close("grad_w0", of_params["layer_0"]["kernel"], atol=1e-4, rtol=1e-4)
    last = f"layer_{len(rates)}"
    kernel = of_params[last]["kernel"]
    case.close(f"grad_w{len(rates)}", kernel, atol=1e-4, rtol=1e-4)


def generator_full_rule_weights(case: Case) -> None:
    """The published sizes, with weights that a rule gives."""
    words, latent = case["embedding"], case["latent"]
    network = Generator()
    sizes = (words.shape[1] + latent.shape[1], *network.hidden, network.features)
    params = {}
    for layer, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        i, o = np.arange(inputs)[:, None], np.arange(outputs)
        angle = 0.7 * layer + 1.3 * o + 2.1 * i + 0.017 * o * i
        params[f"layer_{layer}"] = {
            "kernel": (1.5 / np.sqrt(inputs) * np.cos(angle)).astype(np.float32),
            "bias": (0.05 * np.sin(0.3 * o[0:] + layer)).astype(np.float32),
        }
    ids = jnp.arange(len(words))
    for final, name, atol in (
        ("linear", "pre_sigmoid", 1e-4),
        ("sigmoid", "feature", 5e-5),
    ):
        network = Generator(final=final)
        features = network.apply({"params": params}, words, ids, latent, train=False)
        case.close(name, features, atol=atol)


def discriminator(case: Case) -> None:
    """Probabilities, logits and the gradients of both."""
    params = {name: case[name] for name in _CRITIC}

    def total(x, params):
        probability, logits = judge(params, x)
        of_gan = jnp.sum(case["coef_gan"] * probability[..., None])
        return of_gan + jnp.sum(case["coef_cls"] * logits), (probability, logits)

    (of_x, of_params), (probability, logits) = jax.grad(
        total, argnums=(0, 1), has_aux=True
    )(jnp.asarray(case["x"]), params)
    tolerance = {"atol": 1e-5, "rtol": 1e-5}
    case.close("gan_prob", probability[..., None], **tolerance)
    case.close("cls_logits", logits, **tolerance)
    case.close("grad_x", of_x, **tolerance)
    case.close("grad_w_fc", of_params["w_fc"], **tolerance)


_CRITIC = ("w_fc", "b_fc", "w_pred", "b_pred", "w_cls", "b_cls")


def judge(params: dict[str, Any], x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Probabilities [B, h, w] and logits [B, h, w, C] by the file's parameters."""

    def conv(name: str) -> dict[str, jax.Array]:
        return {"kernel": params[f"w_{name}"][None, None], "bias": params[f"b_{name}"]}

    num_classes = params["w_cls"].shape[-1]
    network = FeatureClassifier(hidden=params["w_fc"].shape[-1])
    layers = {"params": {"trunk_layer": conv("fc"), "classifier": conv("cls")}}
    hidden: Any = network.apply(layers, x, train=False, method=network.trunk)
    logits: Any = network.apply(layers, hidden, num_classes, method=network.classes)
    score = {"kernel": params["w_pred"], "bias": params["b_pred"]}
    probability: Any = Discriminator().apply({"params": {"score": score}}, hidden)
    return probability, logits


def run(
    network: Generator, params: Any, x: jax.Array, keep: list[np.ndarray] | None
) -> jax.Array:
    """Features of inputs [..., E + Z] that hold the word vector already.

    Args:
        network: the generator.
        params: its parameters.
        x: [..., I] the first layer's input, given as latent code of a table without
            columns.
        keep: which units each dropout keeps; None without dropout.
    """

    def masked(call: Any, inputs: Any, options: Any, context: Any) -> Any:
        if keep is None or not isinstance(context.module, Dropout):
            return call(*inputs, **options)
        index = int(str(context.module.name).rpartition("_")[2])
        return inputs[0] * keep[index] / (1.0 - context.module.rate)

    table = jnp.zeros((1, 0))
    ids = jnp.zeros(x.shape[:-1], jnp.int32)
    with nn.intercept_methods(masked):
        return network.apply(
            {"params": params},
            table,
            ids,
            x,
            train=keep is not None,
            rngs={"dropout": jax.random.key(0)},
        )
