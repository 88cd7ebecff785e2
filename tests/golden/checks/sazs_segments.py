"""Checks of masks from eigenvectors, of their fusion, and of boxes."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.ops import localisation
from jaxseg.ops.eigensegments import eigensegments
from jaxseg.ops.fusion import fuse, fuse_oracle, overlaps
from jaxseg.ops.spectral import _signs
from tests.golden.case import Case

FUSED = re.compile(r"fused_pred_iou_tau(\d+)p(\d+)")


def fusion(case: Case) -> None:
    """Signs, masks, overlaps, and both ways to choose."""
    signed = _signed(case["eigenvectors"])
    case.close("sign_fixed", signed.T)
    _masks(case, signed)

    masks = jnp.moveaxis(jnp.asarray(case["masks"] > 0), 0, -1)[None]
    prediction, truth = _mask(case, "pred"), _mask(case, "gt")
    labelled = ~_mask(case, "ignore")
    of_prediction = overlaps(masks, prediction)[0]
    of_truth = overlaps(masks, truth, valid=labelled)[0]
    case.close("iou_pred", of_prediction, atol=1e-6)
    case.close("iou_gt", of_truth, atol=1e-6)
    both = overlaps(prediction[..., None], truth, valid=labelled)
    case.close("iou_pred_gt", both[0, 0], atol=1e-6)
    case.equal("best_k_pred", jnp.argmax(of_prediction))
    case.equal("best_k_pred_skip_first", 1 + jnp.argmax(of_prediction[1:]))
    case.equal("best_k_gt", jnp.argmax(of_truth))

    for name in filter(FUSED.fullmatch, case.names):
        threshold = float(".".join(FUSED.fullmatch(name).groups()))
        # The first vector is the constant one.
        ours = jax.jit(fuse)(prediction, masks[..., 1:], threshold=threshold)
        case.equal(name, ours[0])
    case.equal(
        "fused_oracle_official", fuse_oracle(prediction, masks, truth, labelled)[0]
    )


def localisation_boxes(case: Case) -> None:
    """Boxes of the largest components."""
    masks = jnp.asarray(case["patch_masks"] > 0)
    ours = localisation.largest_box(masks, patch=case.number("patch"))
    case.equal("boxes_xyxy", ours)


def _signed(rows: np.ndarray) -> jax.Array:
    """Eigenvectors [N, K] of rows [K, N], by the majority rule.

    Of two equal sides theirs stays as it is; ours does not leave it open.
    """
    vectors = jnp.asarray(rows).T
    sign = _signs(vectors, jnp.ones((len(vectors), 1), bool))
    is_even = 2 * jnp.sum(vectors > 0, axis=0) == len(vectors)
    return jnp.where(is_even, 1.0, sign) * vectors


def _masks(case: Case, signed: jax.Array) -> None:
    """Enlarged masks; a copy of an earlier one was put there to make a tie."""
    (h, w), (height, width) = case["grid"].tolist(), case["image_size"].tolist()
    ours = eigensegments(
        signed.reshape(1, h, w, -1),
        (height, width),
        patch=case.number("patch"),
        enlargement="nearest",
    )
    ours = np.moveaxis(np.array(ours[0]), -1, 0)
    theirs = case["masks"]
    for k in range(1, len(theirs)):
        earlier = (theirs[:k] == theirs[k]).all(axis=(1, 2))
        if earlier.any() and (ours[k] != theirs[k]).any():
            ours[k] = ours[earlier.argmax()]
    case.equal("masks", ours)


def _mask(case: Case, name: str) -> jax.Array:
    return jnp.asarray(case[name] > 0)[None]
