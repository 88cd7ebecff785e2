"""Plain supervised segmentation: the cross entropy of every labelled pixel."""

import dataclasses
from typing import Any

import jax

from jaxseg.losses.cross_entropy import segmentation_loss
from jaxseg.methods import base
from jaxseg.state import TrainState


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Supervised(base.Method):
    """The baseline that every other method is compared with.

    Attributes:
        class_weights: weight of each class in the mean over pixels; () for none.
        auxiliary_weight: of the auxiliary head's cross entropy, if there is one.
    """

    class_weights: tuple[float, ...] = ()
    auxiliary_weight: float = 0.4

    def loss(
        self, params: Any, state: TrainState, batch: base.Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[TrainState, base.Metrics]]:
        outputs, state = self.forward(params, state, batch["image"], rng=rng)
        loss = segmentation_loss(
            outputs.logits,
            outputs.auxiliary,
            batch["label"],
            class_weights=self.class_weights or None,
            auxiliary_weight=self.auxiliary_weight,
        )
        return loss, (state, {"loss": loss, "cross_entropy": loss})
