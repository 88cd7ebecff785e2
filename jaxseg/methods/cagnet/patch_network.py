"""The network over label patches as a player of its own: its training, its draws."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxseg.methods.cagnet import patches, pixelcnn_sampling
from jaxseg.methods.cagnet.pixelcnn import PixelCNN
from jaxseg.methods.cagnet.pixelcnn_training import pixelcnn_loss

NAME = "patch_network"  # of its entries in the state


class Variables(flax.struct.PyTreeNode):
    """What changes of it from step to step.

    Attributes:
        params: parameters.
        batch_stats: running statistics.
        opt_state: of its optimiser.
    """

    params: Any
    batch_stats: Any
    opt_state: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatchNetwork:
    """Learns k x k patches of seen labels while the players learn features.

    Attributes:
        optimizer: Adam at 1e-6 in the release.
        model: the network.
        side: k.
        patches_per_step: the most patches of a batch that are learnt from.
    """

    optimizer: optax.GradientTransformation
    model: PixelCNN = dataclasses.field(default_factory=PixelCNN)
    side: int = 3
    patches_per_step: int = 1024

    def init(self, key: jax.Array, class_table: jax.Array) -> Variables:
        """Before the first step."""
        blank = jnp.zeros((1, self.side, self.side), jnp.int32)
        found = self.model.init(key, blank, blank, class_table, train=False)
        params, stats = found["params"], found.get("batch_stats", {})
        return Variables(params, stats, self.optimizer.init(params))

    def step(
        self,
        variables: Variables,
        label: jax.Array,
        class_table: jax.Array,
        *,
        unseen: Sequence[int],
        key: jax.Array,
    ) -> tuple[Variables, jax.Array]:
        """One update by the patches of seen label maps [B, h, w]; and the loss, []."""
        draw_key, loss_key = jax.random.split(key)
        drawn = patches.draw(
            draw_key, label, side=self.side, num_patches=self.patches_per_step
        )

        def loss(params: Any) -> tuple[jax.Array, Any]:
            return pixelcnn_loss(
                params,
                variables.batch_stats,
                drawn,
                class_table,
                model=self.model,
                unseen=unseen,
                key=loss_key,
            )

        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(variables.params)
        updates, opt_state = self.optimizer.update(
            grads, variables.opt_state, variables.params
        )
        params = optax.apply_updates(variables.params, updates)
        return Variables(params, stats, opt_state), value

    def sample(
        self,
        key: jax.Array,
        variables: Variables,
        class_table: jax.Array,
        *,
        unseen: Sequence[int],
        num_patches: int,
    ) -> jax.Array:
        """Draws patches [P, k, k] int32, mostly of an unseen class each."""
        return pixelcnn_sampling.sample(
            key,
            {"params": variables.params, "batch_stats": variables.batch_stats},
            class_table,
            model=self.model,
            unseen=unseen,
            num_patches=num_patches,
            side=self.side,
        )
