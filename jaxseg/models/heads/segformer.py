"""SegFormer's head (Xie et al. 2021): all stages, linearly mixed at a quarter."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.models.transformer import DENSE_INIT
from jaxseg.ops.resize import resize_bilinear


class SegFormer(nn.Module):
    """A linear map per stage, enlargement, and one linear map of them all.

    As published, each stage goes through its own linear map to D channels and is
    enlarged; then a 1x1 convolution without bias takes the 4D channels of all, deepest
    first, to D. Parameters: `linear{i}` [D', D] with bias for stage i, shallow to deep;
    `fuse` [4D, D]; `norm`. The published dropout, 0.1, is the segmentor's.

    Attributes:
        features: D, 256 for MiT-B0 and B1, 768 for B2 to B5.
        dtype: of the computation.
    """

    features: int = 256
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages [B, h, w, D'] to features [B, h, w, D], as large as the first."""
        x = self._mix(stages)
        x = nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            use_fast_variance=False,
            dtype=self.dtype,
            name="norm",
        )(x)
        return nn.relu(x)

    def _mix(self, stages: tuple[jax.Array, ...]) -> jax.Array:
        """The linear maps and the enlargement, [B, h, w, D]."""
        _, h, w, _ = stages[0].shape
        (fuse,) = Weights(
            len(stages) * self.features, self.features, use_bias=False, name="fuse"
        )()
        pieces = jnp.split(fuse, len(stages))[::-1]
        total = jnp.zeros((), self.dtype)
        for index, (stage, piece) in enumerate(zip(stages, pieces, strict=True)):
            weights = Weights(stage.shape[-1], self.features, name=f"linear{index}")
            kernel, bias = (_product(factor, piece) for factor in weights())
            # Enlarging mixes pixels and leaves channels and constants alone, so that
            # the second linear map may come before it, multiplied into the first. The
            # map of 4D channels at full size, and most of the work, never come to be.
            mixed = stage.astype(self.dtype) @ kernel.astype(self.dtype)
            mixed = mixed + bias.astype(self.dtype)
            total = total + resize_bilinear(mixed, (h, w), align_corners=False)
        return total


class Weights(nn.Module):
    """The parameters of a linear map, for a caller who multiplies them.

    Attributes:
        num_inputs: D'.
        features: D.
        use_bias: whether there is one.
    """

    num_inputs: int
    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self) -> tuple[jax.Array, ...]:
        """Returns the kernel [D', D], then the bias [D] if there is one, float32."""
        shape = (self.num_inputs, self.features)
        kernel = self.param("kernel", DENSE_INIT, shape, jnp.float32)
        if not self.use_bias:
            return (kernel,)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return kernel, bias


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    # Not in the reduced precision that accelerators multiply float32 with by default.
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)
