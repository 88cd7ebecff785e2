"""The plainest head (Long et al. 2015): convolutions on one stage or on several."""

from typing import Any

import flax.linen as nn
import jax

from jaxseg.models.layers import ConvNorm, join_stages


class FCN(nn.Module):
    """Convolutions with normalisation and ReLU, on the last stage by default.

    Attributes:
        features: D, channels of the result.
        num_convs: how many convolutions.
        kernel_size: of each convolution, 3 or 1.
        stages: which of the backbone's stages it reads, joined at the first one's size:
            (0, 1, 2, 3) is HRNet's head, (-2,) an auxiliary head.
        use_bias: whether the convolutions have a bias.
        dropout: share of the channels that training blanks, each over a whole picture;
            needs a key in the rng collection `dropout`.
        dtype: of the computation.
    """

    features: int = 256
    num_convs: int = 1
    kernel_size: int = 3
    stages: tuple[int, ...] = (-1,)
    use_bias: bool = False
    dropout: float = 0.0
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages [B, h, w, D'] to features [B, h, w, D]."""
        x = join_stages(stages, self.stages)
        for _ in range(self.num_convs):
            x = ConvNorm(
                self.features,
                self.kernel_size,
                use_bias=self.use_bias,
                dtype=self.dtype,
            )(x, train=train)
        return nn.Dropout(self.dropout, broadcast_dims=(1, 2))(
            x, deterministic=not train
        )
