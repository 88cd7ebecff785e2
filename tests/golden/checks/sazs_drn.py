"""Checks of SAZS's dilated network against its authors' code, weights given."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.backbones.drn import DRN
from jaxseg.models.heads.psp import PSP
from jaxseg.models.layers import Conv
from jaxseg.pretrained.load import fill
from tests.golden.case import Case
from tests.models.fill import shapes_of


class _Network(nn.Module):
    """The edge classifier on the features that the words are compared with."""

    backbone: nn.Module
    head: nn.Module

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        stages = self.backbone(image, train=train)
        features = self.head(stages, train=train)
        return stages[-1], features, Conv(1, use_bias=True, name="edges")(features)


def drn_d(case: Case) -> None:
    """Levels, pyramid and edges, loaded as a checkpoint of SAZS, in evaluation."""
    tensors = {name[2:]: case[name] for name in case.names if name.startswith("p:")}
    is_bottleneck = "base.3.0.conv3.weight" in tensors
    pool_features, *_ = tensors["pool1_conv.weight"].shape
    features, *_ = tensors["fc1.weight"].shape
    network = _Network(
        DRN(
            54 if is_bottleneck else 22,
            channels=tuple(case["channels"].tolist()),
            blocks=tuple(case["layers"].tolist()),
        ),
        PSP(features, pool_features=pool_features),
    )
    image = jnp.asarray(np.moveaxis(case["image"], 1, -1))
    shapes = shapes_of(network, image)
    blank = jax.tree.map(lambda s: np.full(s.shape, np.nan, np.float32), shapes)
    params, stats, _ = fill(
        tensors, network, blank["params"], blank["batch_stats"], source="the case"
    )
    outputs = jax.jit(lambda v, x: network.apply(v, x, train=False))(
        {"params": params, "batch_stats": stats}, image
    )
    names = ("base_features", "features", "edge_logit")
    for name, ours in zip(names, outputs, strict=True):
        case.close(name, jnp.moveaxis(ours, -1, 1), rtol=1e-4, atol=1e-4)
