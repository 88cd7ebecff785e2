"""Learns by how much one tile of edges is moved against another.

Read `InverseTransformPretraining.loss`, then `pairs.py`. What comes of a run is a file
that `jaxseg.tools.inverse_transform` scores and writes, and the shape constraint of
SAZS reads.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.losses.masked import masked_mean
from jaxseg.methods import base
from jaxseg.methods.inverse_transform import pairs
from jaxseg.metrics import transforms
from jaxseg.models.inverse_transform import InverseTransform
from jaxseg.ops import scenes
from jaxseg.state import TrainState

SMALL = 1e-8  # under the root, where the error is 0


class Network(nn.Module):
    """The regression network, in the entry that a run's checkpoint is read by."""

    segmentor: InverseTransform

    def __call__(self, tiles: jax.Array, *, train: bool) -> jax.Array:
        """Maps pairs [N, 2, t, t], predicted first, to transforms [N, 4]."""
        del train
        return self.segmentor(tiles[:, 0], tiles[:, 1])


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class InverseTransformPretraining(base.Method):
    """Regression of scales and shifts, |theta_hat - theta|, on pairs made in the step.

    The network is no segmentor and predicts no classes: such a run has no evaluations.
    Its log shows how well it does on the pairs of each step before it learns from them,
    which no step has seen before.

    Attributes:
        tiles: what is outlined: "drawn" are windows of scenes made up on the device,
            "labels" windows of the batch's label maps.
        tiles_per_picture: pairs of a step for each picture of the batch.
        coarse_sides: of label maps, one for each picture and side, whose edges are
            enlarged to a tile: what the constraint compares are the edges of a small
            feature map, enlarged.
        still_share: the share of pairs that are not moved.
    """

    tiles: Literal["drawn", "labels"] = "drawn"
    tiles_per_picture: int = 8
    coarse_sides: tuple[int, ...] = (10, 21)
    still_share: float = 0.3

    def __post_init__(self):
        if not isinstance(self.segmentor, InverseTransform):
            raise ValueError(
                "it trains the network that compares tiles: set config.model="
                "dict(name='inverse_transform.regression')"
            )
        if self.tiles not in ("drawn", "labels"):
            raise ValueError(f"tiles are 'drawn' or 'labels', got {self.tiles!r}")
        if self.tiles_per_picture <= len(self.coarse_sides):
            raise ValueError(
                f"of {self.tiles_per_picture} tiles_per_picture, {self.coarse_sides} "
                "coarse_sides leave none at full size: raise tiles_per_picture"
            )
        if not 0 <= self.still_share < 1:
            raise ValueError(
                f"still_share is from 0 to below 1, got {self.still_share}"
            )

    @property
    def network(self) -> nn.Module:
        regression: Any = self.segmentor  # config.model is no segmentor here
        return Network(regression)

    def init(self, rng: jax.Array, batch: base.Batch) -> TrainState:
        blank = jnp.zeros((1, 2, self.segmentor.tile, self.segmentor.tile))
        return super().init(rng, {**batch, "image": blank})

    def loss(
        self, params: Any, state: TrainState, batch: base.Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[TrainState, base.Metrics]]:
        made = self.pairs(rng, batch)
        tiles = jnp.stack([made.predicted, made.true], axis=1)
        theta, state = self.forward(params, state, tiles)
        squares = jnp.sum(jnp.square(theta - made.parameters), axis=1)
        loss = masked_mean(jnp.sqrt(squares + SMALL), made.counts)
        moved = made.counts & ~made.is_still
        norms = jnp.sqrt(jnp.sum(jnp.square(theta), axis=1))
        found = transforms.explained(theta, made.parameters, moved)
        return loss, (
            state,
            {
                "loss": loss,
                "scale_r2": jnp.mean(found[:2]),
                "shift_r2": jnp.mean(found[2:]),
                "still_norm": masked_mean(norms, made.counts & made.is_still),
                "counted_tiles": jnp.mean(made.counts.astype(jnp.float32)),
            },
        )

    def pairs(self, key: jax.Array, batch: base.Batch) -> pairs.Pairs:
        """The pairs of a step, which its key decides on any number of devices."""
        draw_key, pair_key = jax.random.split(key)
        tile = self.segmentor.tile
        fine = self.tiles_per_picture - len(self.coarse_sides)
        sizes = [(tile, fine), *((side, 1) for side in self.coarse_sides)]
        keys = jax.random.split(draw_key, len(sizes))
        true = [
            self._outlines(key, batch["label"], side=side, per_picture=number)
            for key, (side, number) in zip(keys, sizes, strict=True)
        ]
        edges = jnp.concatenate(true)
        return pairs.make(pair_key, edges, still_share=self.still_share)

    def _outlines(
        self, key: jax.Array, labels: jax.Array, *, side: int, per_picture: int
    ) -> jax.Array:
        num_classes = self.labels.num_classes
        if self.tiles == "labels":
            labels = scenes.windows(key, labels, per_picture=per_picture, size=side)
        else:
            labels = scenes.draw(key, len(labels) * per_picture, side)
            num_classes = scenes.MOST_SHAPES + 1
        return pairs.outlines(labels, num_classes=num_classes, size=self.segmentor.tile)

    def predict(self, state: TrainState, batch: base.Batch) -> jax.Array:
        raise ValueError(
            "this network compares tiles of edges and predicts no classes: leave "
            "config.evals empty, and score the run by `python -m "
            "jaxseg.tools.inverse_transform --workdir RUN`"
        )

    def warnings(
        self, step: int, total_steps: int, means: Mapping[str, float]
    ) -> tuple[str, ...]:
        """Says if no tile had edges enough to learn from."""
        del step, total_steps
        if means.get("counted_tiles", 1.0) > 0:
            return ()
        return (
            f"no tile had {pairs.LEAST_EDGES} edge pixels: nothing was learnt. Give "
            "pictures with masks in config.data, or set config.method.tiles='drawn'",
        )
