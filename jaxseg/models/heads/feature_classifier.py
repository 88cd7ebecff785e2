"""CaGNet's classifier, a decoder: one hidden layer, which a discriminator shares."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.dropout import Dropout
from jaxseg.models.generator import KERNEL_INIT
from jaxseg.models.layers import Conv
from jaxseg.ops.convolution import Padding


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
    def classes(
        self, hidden: jax.Array, num_classes: int, *, inside: bool = False
    ) -> jax.Array:
        """Logits of the hidden layer.

        Args:
            hidden: [B, h, w, hidden] of `trunk`.
            num_classes: C.
            inside: only where the window lies within the map: of a patch as large as
                the window, its middle.

        Returns:
            [B, h', w', C] float32, or C + 1 columns with the extra one.
        """
        if self.window > 1:
            padding = ((0, 0), (0, 0)) if inside else "SAME"
            hidden = self._conv(
                self.hidden, self.window, name="window_layer", padding=padding
            )(hidden)
        columns = num_classes + self.extra_background_logit
        logits = self._conv(columns, 1, name="classifier")(hidden)
        return logits.astype(jnp.float32)

    def inner(self, labels: jax.Array) -> jax.Array:
        """The labels [B, h, w] of the positions that `inside` leaves."""
        margin = self.window // 2
        _, height, width = labels.shape
        return labels[:, margin : height - margin, margin : width - margin]

    def _conv(
        self,
        features: int,
        window: int,
        name: str | None = None,
        padding: Padding = "SAME",
    ) -> Conv:
        return Conv(
            features,
            window,
            padding=padding,
            use_bias=True,
            dtype=self.dtype,
            kernel_init=KERNEL_INIT,
            name=name,
        )
