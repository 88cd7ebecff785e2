"""A segmentor with a second backbone beside it that says what belongs together.

SAZS groups patches by the features of a network that has seen no label (DINO). It is a
part of the segmentor, `guide`, so that a checkpoint predicts without another file.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models import segmentor


class GuidedSegmentor(segmentor.Segmentor):
    """A `Segmentor` and a backbone that stays as it was loaded.

    Attributes:
        guide: the backbone; None: the segmentor's own takes its place.
        guide_stage: which stage is read; None: the keys of the last block of a ViT, as
            DINO's features are.
        guide_mean: of the guide's pixels, in units of 0..255, RGB.
        guide_std: their standard deviations.
    """

    guide: nn.Module | None = None
    guide_stage: int | None = -1
    guide_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    guide_std: tuple[float, float, float] = (58.395, 57.12, 57.375)

    def __call__(self, image: jax.Array, *, train: bool) -> segmentor.Outputs:
        if self.is_initializing() and self.guide is not None:
            # Not `guide_features`: the keys of a last block do without a part of it.
            self.guide(self._guide_pixels(image), train=False)
        return super().__call__(image, train=train)

    def guide_features(self, image: jax.Array) -> jax.Array:
        """What belongs together, by the guide.

        Args:
            image: [B, H, W, 3] RGB, 0..255.

        Returns:
            [B, h, w, D], without a gradient.
        """
        if self.guide is None:
            if self.guide_stage is None:
                raise ValueError(
                    "guide_stage None means a ViT's keys, and there is no guide: give "
                    "one, or the number of a stage of the backbone"
                )
            features = self.stages(image, train=False)[self.guide_stage]
        elif self.guide_stage is None:
            features = self.guide.keys(self._guide_pixels(image))
        else:
            stages = self.guide(self._guide_pixels(image), train=False)
            features = stages[self.guide_stage]
        return jax.lax.stop_gradient(features.astype(jnp.float32))

    def _guide_pixels(self, image: jax.Array) -> jax.Array:
        mean = jnp.asarray(self.guide_mean, jnp.float32)
        std = jnp.asarray(self.guide_std, jnp.float32)
        return (image.astype(jnp.float32) - mean) / std
