"""Checks of SAZS's shape constraint: edges, boundary losses, InverseForm's term."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.losses.boundary import (
    balanced_binary_cross_entropy,
    edge_attention,
    edge_class_weights,
    edge_labels,
)
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.losses.inverse_transform import (
    euclidean_distance,
    geodesic_distance,
    inverse_transform_loss,
    rotation_angle,
    safe_norm,
)
from jaxseg.models.inverse_transform import InverseTransform
from jaxseg.ops import affine
from jaxseg.ops import edges as edge_maps
from jaxseg.ops.rotation import nearest_rotation
from jaxseg.ops.tiles import tiles
from jaxseg.pretrained.inverse_transform import from_tensors
from tests.golden.case import Case

THRESHOLD = 0.8  # on the raw edge logit, a constant of their code
WEIGHTS = (0.3, 0.1)  # of the two losses beside the segmentation's


def edges(case: Case) -> None:
    """Their bands and our Sobel edges of one label map, and both sampled at 8."""
    labels = jnp.asarray(case["label"])[None]
    count = case.number("num_classes")
    band = functools.partial(edge_maps.band_edges, labels)
    case.equal("edge_dt_official", band(num_classes=count)[0])
    case.equal("edge_dt_allclasses", band(num_classes=count + 1)[0])
    case.equal("edge_sobel", edge_maps.sobel_outlines(labels, num_classes=count + 1)[0])
    ours = edge_maps.sobel_edges(labels, num_classes=count + 1)
    case.equal("edge_sobel_ignore_masked", ours[0])
    for name, maps in (
        ("edge_dt_official_down8", band(num_classes=count)),
        ("label_down8", labels),
    ):
        if case[name].size:  # they sample square maps only
            case.equal(name, edge_maps.sample_edges(maps, 8)[0])


def sobel_kernel(case: Case) -> None:
    """An edge is where their response is not zero; ours computes no response."""
    gx, gy, magnitude = (case[name] for name in ("gx", "gy", "magnitude"))
    np.testing.assert_allclose(np.hypot(gx, gy), magnitude, atol=1e-6)
    labels = jnp.asarray(case["mask"]).astype(jnp.int32)[None]
    ours = edge_maps.sobel_outlines(labels, num_classes=2)[0]
    case.close_to(magnitude > 1e-6, ours, "magnitude")
    case.close_to((np.abs(gx) > 1e-6) | (np.abs(gy) > 1e-6), ours, "gx, gy")


def boundary(case: Case) -> None:
    """Cross entropy, balanced edges and edge attention, with their gradients."""
    case.reference_only(
        "loss_att_torch", reason="NaN where no pixel of an image has survived"
    )
    logits = jnp.moveaxis(jnp.asarray(case["logits"]), 1, -1)
    edge_logits = jnp.asarray(case["edge_logits"])[:, 0]
    true_edges = jnp.asarray(case["edge_target"])[:, 0] > 0.5
    labels = jnp.asarray(case["target"])
    seg, grad_seg = jax.value_and_grad(cross_entropy)(logits, labels)
    bce, grad_bce = jax.value_and_grad(balanced_binary_cross_entropy)(
        edge_logits, true_edges
    )
    att, grad_att = jax.value_and_grad(
        functools.partial(edge_attention, threshold=THRESHOLD, reduction="sum")
    )(logits, labels, edge_logits)
    case.close("loss_seg", seg, rtol=1e-5, atol=1e-5)
    case.close("loss_bce", bce, rtol=1e-5, atol=1e-5)
    case.close("loss_att", att, rtol=1e-5, atol=1e-5)
    total = seg + WEIGHTS[0] * bce + WEIGHTS[1] * att
    case.close("total_without_inverse", total, rtol=1e-5, atol=1e-5)
    case.close("grad_seg_logits", jnp.moveaxis(grad_seg, -1, 1), atol=1e-5)
    case.close("grad_bce_edge", grad_bce[:, None], atol=1e-5)
    case.close("grad_att_logits", jnp.moveaxis(grad_att, -1, 1), atol=1e-5)
    kept = edge_labels(labels, edge_logits, threshold=THRESHOLD)
    weights = edge_class_weights(kept, num_classes=logits.shape[-1])
    case.close("class_weights", weights, atol=1e-5)


def inverseform_small(case: Case) -> None:
    """The term end to end, with our activation and with theirs."""
    tile, rows, columns = (
        case.number(name) for name in ("tile", "tile_rows", "tile_cols")
    )
    network, params = _network(case, tile)
    logits, target = (
        jnp.asarray(case[name])[:, 0] for name in ("edge_logits", "edge_target")
    )
    cut = functools.partial(tiles, tile=tile, rows=rows, columns=columns)
    predicted, true = cut(jax.nn.sigmoid(logits)), cut(target)
    for name, ours in (("resized_pred", predicted), ("resized_target", true)):
        theirs = cut(jnp.asarray(case[name])[:, 0])  # of their size already
        case.close_to(theirs, ours, name, atol=1e-5)
    flat = [x.reshape(-1, tile, tile) for x in (predicted, true)]
    theta = network.transforms(params, *flat)
    case.close("theta", theta.reshape(len(logits), -1, 4), rtol=1e-5, atol=1e-5)
    case.close("check_loss", jnp.mean(safe_norm(theta)), rtol=1e-5, atol=1e-5)
    for activation, loss, gradient in (
        ("sigmoid", "loss_sigmoid", "grad_sigmoid"),
        ("log_softmax", "loss_official_logsoftmax", "grad_official"),
    ):
        ours, slope = jax.jit(
            jax.value_and_grad(
                functools.partial(
                    inverse_transform_loss,
                    network=network.transforms,
                    tile=tile,
                    rows=rows,
                    columns=columns,
                    least_edges=0,
                    activation=activation,
                )
            )
        )(logits, target, params=params)
        case.close(loss, ours, rtol=1e-5, atol=1e-5)
        case.close(gradient, slope[:, None], atol=1e-5)


def inverseform_mlp(case: Case) -> None:
    """The regression network alone, and the gradient to the predicted tiles."""
    predicted, true = (jnp.asarray(case[name])[:, 0] for name in ("x1", "x2"))
    network, params = _network(case, predicted.shape[-1])

    def loss(predicted: jax.Array) -> tuple[jax.Array, jax.Array]:
        theta = network.transforms(params, predicted, true)
        return jnp.mean(safe_norm(theta)), theta

    (ours, theta), slope = jax.value_and_grad(loss, has_aux=True)(predicted)
    case.close("theta", theta, rtol=1e-5, atol=1e-5)
    case.close("loss", ours, rtol=1e-5, atol=1e-5)
    case.close("grad_x1", slope[:, None], atol=1e-5)


def inverseform_mlp_full(case: Case) -> None:
    """The published size; its weights are a formula, read as a published file is."""
    small = case["small"][:, :, 0]  # [2, n, s, s]
    biases = case["bias"]
    tensors: dict[str, np.ndarray] = {}
    for i, (rows, columns, *wave) in enumerate(case["weight_params"]):
        rows, columns = int(rows), int(columns)
        tensors[f"fc.{2 * i}.weight"] = _waves(rows, columns, *wave)
        tensors[f"fc.{2 * i}.bias"] = np.full(rows, biases[i], np.float32)
    tile = round((tensors["fc.0.weight"].shape[1] / 2) ** 0.5)
    enlarged = np.kron(small, np.ones((tile // small.shape[-1],) * 2, np.float32))
    network, params = from_tensors(tensors, source="the case")
    theta = network.transforms(params, *jnp.asarray(enlarged))
    case.close("theta", theta, rtol=1e-3, atol=1e-3)
    case.close("loss", jnp.mean(safe_norm(theta)), rtol=1e-3)


def theta_distance(case: Case) -> None:
    """Both distances of a transform to the identity."""
    theta = jnp.asarray(case["theta"])
    rotation = nearest_rotation(theta)
    case.close("euclidean", euclidean_distance(theta), rtol=1e-5, atol=1e-5)
    case.close("rotation", rotation, atol=1e-5)
    # Theirs is an arccos, which is short of digits near 0 and pi.
    inexact = np.sin(case["angle"]) < 0.05
    angle, geodesic = rotation_angle(rotation), geodesic_distance(theta)
    for name, ours in (("angle", angle), ("geodesic", geodesic)):
        case.close(name, ours, atol=1e-3)
        exact = np.where(inexact, ours, case[name])
        case.close_to(exact, ours, name, rtol=1e-5, atol=1e-5)


def affine_warp(case: Case) -> None:
    """The matrices of normalised parameters, and warps by them and by others."""
    images = jnp.asarray(case["image"])[:, 0]
    parameters = jnp.asarray(case["params_sx_sy_tx_ty"]) / affine.UNIT
    matrix = affine.matrices(parameters)
    case.close("matrix", matrix, atol=1e-5)
    case.close("warped", affine.warp(images, matrix)[:, None], atol=1e-5)
    other = affine.warp(images, jnp.asarray(case["matrix6"]))
    case.close("warped6", other[:, None], atol=1e-5)


def _network(case: Case, tile: int) -> tuple[InverseTransform, Mapping[str, Any]]:
    """The network of a case's arrays `fc_0_weight` and so on."""
    names = [name for name in case.names if name.startswith("fc_")]
    tensors = {name.replace("_", "."): case[name] for name in names}
    network, params = from_tensors(tensors, source="the case")
    assert network.tile == tile
    return network, params


def _waves(
    rows: int, columns: int, scale: float, a: float, b: float, c: float
) -> np.ndarray:
    """W[o, i] = s cos(a o + b i + c), in float64 before it is rounded."""
    weight = np.empty((rows, columns), np.float32)
    phase = b * np.arange(columns) + c
    for row in range(rows):  # in float64 all at once would be 0.8 GB
        weight[row] = scale * np.cos(a * row + phase)
    return weight
