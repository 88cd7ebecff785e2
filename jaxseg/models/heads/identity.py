"""The head of networks whose backbone ends in the features: `Identity`."""

from typing import Any

import flax.linen as nn
import jax


class Identity(nn.Module):
    """One of the stages as it is.

    Attributes:
        stage: which one.
        dtype: of the features.
    """

    stage: int = -1
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Picks features [B, h, w, D] from stages [B, h, w, D]."""
        return stages[self.stage].astype(self.dtype)
