"""Which labels a synthesis step makes features of, and which of them it learns from."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxseg.data.labels import LabelSet
from jaxseg.methods.cagnet import layouts as layouts_lib
from jaxseg.methods.cagnet import patch_priors, patches
from jaxseg.methods.cagnet.label_prior import log_prior, sample_labels
from jaxseg.methods.cagnet.synthesis import Synthesis

DrawPatches = Callable[[jax.Array, int], jax.Array]
# Layouts that a batch adds to the table at most.
NEW_LAYOUTS = 256


class Memory(flax.struct.PyTreeNode):
    """What synthesis remembers between steps.

    Attributes:
        entropy: [] float32, the class loss of the last synthesis step, for the log;
            that of a guess before the first.
        layouts: of patches of seen labels; None without such a prior.
    """

    entropy: jax.Array
    layouts: Any


@dataclasses.dataclass(frozen=True)
class LabelSource:
    """Draws the labels of a synthesis step.

    Attributes:
        synthesis: the options.
        labels: which classes are unseen.
    """

    synthesis: Synthesis
    labels: LabelSet

    def init_memory(self) -> Memory:
        """Before the first step."""
        remembered = None
        if self._learns_layouts:
            options = self.synthesis
            remembered = layouts_lib.empty_layouts(options.num_layouts, options.patch)
        guess = jnp.log(jnp.float32(self.labels.num_classes))
        return Memory(entropy=guess, layouts=remembered)

    def remember(self, memory: Memory, label: jax.Array, key: jax.Array) -> Memory:
        """Learns layouts from the seen labels [B, h, w] of a batch, if it uses any."""
        if not self._learns_layouts:
            return memory
        return memory.replace(
            layouts=layouts_lib.remember(
                memory.layouts, label, key, num_new=NEW_LAYOUTS
            )
        )

    def sample(
        self, key: jax.Array, memory: Memory, draw: DrawPatches | None = None
    ) -> jax.Array:
        """Draws labels [P, k, k] int32, as many as there are features in a step.

        Args:
            key: of the draw.
            memory: of the step before.
            draw: (key, P) -> patches, of the prior "pixelcnn".
        """
        side = self.synthesis.patch
        count = self.synthesis.features_per_step // side**2
        prior = log_prior(self.labels, self.synthesis.unseen_rate)
        if side == 1:
            return sample_labels(key, (count, 1, 1), prior)
        drawn_key, pure_key, mix_key = jax.random.split(key, 3)
        if self.synthesis.patch_prior == "pure":
            return patch_priors.pure(pure_key, prior, num_patches=count, side=side)
        if self._learns_layouts:
            drawn = patch_priors.empirical(
                drawn_key,
                prior,
                memory.layouts,
                unseen=self.labels.unseen,
                num_patches=count,
            )
        else:
            assert draw is not None
            drawn = draw(drawn_key, count)
        others = patch_priors.pure(pure_key, prior, num_patches=count, side=side)
        return patch_priors.mix(mix_key, drawn, others, self.synthesis.pure_share)

    def targets(self, label: jax.Array) -> jax.Array:
        """The labels that count: those in the middle of their patch."""
        return patches.centre_labels(label, self.synthesis.patch)

    def latent(self, key: jax.Array, label: jax.Array, size: int) -> jax.Array:
        """One code of N(0, 1) for each patch, at all its pixels, [P, k, k, size]."""
        drawn = jax.random.normal(key, (len(label), 1, 1, size))
        return patches.repeat(drawn, self.synthesis.patch)

    @property
    def _learns_layouts(self) -> bool:
        options = self.synthesis
        return options.patch > 1 and options.patch_prior == "empirical"
