"""CaGNet's classifier, a decoder: one hidden layer, which a discriminator shares."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.dropout import Dropout
from jaxseg.models.generator import KERNEL_INIT
from jaxseg.models.layers import Conv


class FeatureClassifier(nn.Module):
    """Features -> hidden layer -> logits, for real features and generated ones.

    Attributes:
        hidden: channels of the shared hidden layer.
        dropout: after it.
        window: 1, or the side of one more linear convolution of the hidden layer for
            the classes alone, as patch-wise CaGNet (v2) has with 3.
        extra_background_logit: the release's column for a class that no label has. It
            takes part in the softmax of training; prediction leaves it out.
        dtype: of the computation.
    """

    hidden: int = 1024
    dropout: float = 0.5
    window: int = 1
    extra_background_logit: bool = False
    dtype: Any = "float32"

    def setup(self):
        self.trunk_layer = self._conv(self.hidden, 1)
        self.drop = Dropout(self.dropout)
        if self.window > 1:
            self.window_layer = self._conv(self.hidden, self.window)

    def __call__(
        self,
        features: jax.Array,
        stages: tuple[jax.Array, ...],
        num_classes: int,
        *,
        train: bool,
    ) -> tuple[jax.Array, None]:
        """Maps features [B, h, w, D] to logits [B, h, w, C], without queries."""
        hidden = self.trunk(features, train=train)
        return self.classes(hidden, num_classes)[..., :num_classes], None

    def trunk(self, features: jax.Array, *, train: bool) -> jax.Array:
        """What the classes and a discriminator read, [B, h, w, hidden]."""
        hidden = nn.relu(self.trunk_layer(features.astype(self.dtype)))
        return self.drop(hidden, deterministic=not train)

    @nn.compact
    def classes(self, hidden: jax.Array, num_classes: int) -> jax.Array:
        """Logits [B, h, w, C] of the hidden layer, or C + 1 with the extra column."""
        if self.window > 1:
            hidden = self.window_layer(hidden)
        columns = num_classes + self.extra_background_logit
        logits = self._conv(columns, 1, name="classifier")(hidden)
        return logits.astype(jnp.float32)

    def _conv(self, features: int, window: int, name: str | None = None) -> Conv:
        return Conv(
            features,
            window,
            use_bias=True,
            dtype=self.dtype,
            kernel_init=KERNEL_INIT,
            name=name,
        )
