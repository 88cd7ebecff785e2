"""MaskFormer's training (Cheng et al. 2021): segmentation as a set of classified masks.

For segmentors whose decoder has queries (`jaxseg.models.heads.maskformer`).
"""

import dataclasses
from typing import Any

import jax

from jaxseg.losses.mask_classification import mask_classification_loss
from jaxseg.methods import base
from jaxseg.state import TrainState


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class MaskClassification(base.Method):
    """Every class of a picture is matched with a query, after each decoder layer.

    Attributes:
        class_weight: of the queries' cross entropy.
        focal_weight: of the focal loss of their masks.
        dice_weight: of the dice loss of their masks.
        no_object_weight: in the cross entropy, of queries without a class.
    """

    class_weight: float = 1.0
    focal_weight: float = 20.0
    dice_weight: float = 1.0
    no_object_weight: float = 0.1

    def loss(
        self, params: Any, state: TrainState, batch: base.Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[TrainState, base.Metrics]]:
        outputs, state = self.forward(params, state, batch["image"], rng=rng)
        if outputs.queries is None:
            raise ValueError(
                "mask classification trains queries, and the segmentor has none: give "
                "config.model.decoder one, as heads.maskformer.MaskFormerDecoder"
            )
        loss, terms = mask_classification_loss(
            outputs.queries.class_logits,
            outputs.queries.mask_logits,
            batch["label"],
            class_weight=self.class_weight,
            focal_weight=self.focal_weight,
            dice_weight=self.dice_weight,
            no_object_weight=self.no_object_weight,
        )
        return loss, (state, {"loss": loss} | terms)
