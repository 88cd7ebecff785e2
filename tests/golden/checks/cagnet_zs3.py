"""Checks against ZS3Net's own code: generator, MMD, graph context, classifier."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.methods.zs3net.graph import Graph, GraphGenerator, at_first_pixel
from jaxseg.methods.zs3net.losses import classifier_loss, pair_losses
from jaxseg.models.dropout import Dropout
from jaxseg.models.generator import Generator
from jaxseg.ops import components
from tests.golden.case import Case

RATE = 0.5  # the authors' dropout


def zs3_generator(case: Case) -> None:
    """The MLP of words and noise, in evaluation and with given dropout masks."""
    generator = Generator(
        features=case["w1"].shape[1],
        hidden=(case["w0"].shape[1],),
        dropout=(RATE,),
        final="linear",
    )
    params = {
        "layer_0": {"kernel": case["w0"], "bias": case["b0"]},
        "layer_1": {"kernel": case["w1"], "bias": case["b1"]},
    }
    keep, train = case["keep"], bool(case["train"])

    def with_mask(following: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if isinstance(context.module, Dropout) and train:
            return args[0] * keep / (1 - context.module.rate)
        return following(*args, **kwargs)

    with nn.intercept_methods(with_mask):
        ours = generator.apply(
            {"params": params},
            case["embedding"],
            np.arange(len(case["embedding"])),
            case["noise"],
            train=train,
        )
    case.close("feature", ours, rtol=1e-5, atol=1e-5)


def zs3_gmmn_loss(case: Case) -> None:
    """The MMD of two sets, and its gradient where theirs has the right weights."""
    bandwidths = tuple(case["bandwidths"].tolist())

    def loss(fake: Any) -> jax.Array:
        return pair_losses(fake, jnp.asarray(case["real"]), bandwidths=bandwidths)

    ours, grad = jax.value_and_grad(loss)(jnp.asarray(case["fake"]))
    same = np.array_equal(case["fake"], case["real"])
    tolerance = 3e-3 if same else 1e-4  # of equals, the root of rounding errors
    case.close("loss_right_weights", ours, rtol=1e-4, atol=tolerance)
    if same:
        assert np.isfinite(grad).all()
        case.close("loss", ours, atol=3e-3)
        case.reference_only("grad_fake", reason="the root of a difference of equals")
    elif len(case["fake"]) == len(case["real"]):
        case.close("loss", ours, rtol=1e-4, atol=1e-4)
        case.close("grad_fake", grad, rtol=1e-3, atol=1e-3)
    else:
        case.reference_only(
            "loss",
            "grad_fake",
            reason="sets of unequal size get each other's weights in the authors' code",
        )


def zs3_graph_context(case: Case) -> None:
    """The graph of a label map, what its nodes are, and two graph convolutions."""
    labels, budget = jnp.asarray(case["labels"]), len(case["cluster_label"])
    table = jnp.asarray(case["embeddings"])
    found = components.regions(labels, num_classes=len(table), budget=budget)
    case.equal("cluster_id", found.ids)
    case.equal("cluster_label", found.labels)
    case.close("cluster_embedding", table[found.labels])
    touching = components.adjacency(found.ids, budget=budget)
    case.equal("adjacency", touching)
    graph = Graph(found.labels[None], found.first[None], touching[None])
    features = jnp.asarray(case["features"])[None]
    case.close("cluster_feature", at_first_pixel(features, graph)[0])

    generator = GraphGenerator(case["w1"].shape[1], hidden=case["w0"].shape[1])
    params = {
        name: {"weight": {"kernel": case[f"w{i}"]}, "bias": case[f"b{i}"]}
        for i, name in enumerate(("layer_0", "layer_1"))
    }
    ours = generator.apply(
        {"params": params},
        table,
        graph.labels,
        jnp.asarray(case["noise"])[None],
        graph.adjacency,
        train=False,
    )
    case.close("gcn_out", np.asarray(ours)[0], rtol=1e-5, atol=1e-5)


def zs3_weighted_ce(case: Case) -> None:
    """The classifier's loss, divided by the number of pictures, and its gradient."""

    def loss(logits: Any) -> jax.Array:
        return classifier_loss(
            logits, jnp.asarray(case["labels"]), class_weights=case["class_weight"]
        )

    ours, grad = jax.value_and_grad(loss)(jnp.asarray(case["logits"]))
    case.close("loss", ours, rtol=1e-5, atol=1e-5)
    case.close("grad_logits", grad, rtol=1e-5, atol=1e-5)
