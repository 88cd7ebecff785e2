"""Dilated residual networks (Yu et al. 2017), form D: stride 8, and no gridding.

Windows are padded symmetrically, as in PyTorch. Submodules carry the authors' names
(`layer3_0` for `layer3.0`).
"""

from typing import Any

import flax.linen as nn
import jax

from jaxseg.models.backbones.resnet import BasicBlock, Bottleneck
from jaxseg.models.layers import ConvNorm, symmetric_padding

# Blocks of each of the eight levels, and whether the residual ones are bottlenecks.
DEPTHS = {
    22: ((1, 1, 2, 2, 2, 2, 1, 1), False),
    38: ((1, 1, 3, 4, 6, 3, 1, 1), False),
    54: ((1, 1, 3, 4, 6, 3, 1, 1), True),
    105: ((1, 1, 3, 4, 23, 3, 1, 1), True),
}
STRIDES = (1, 2, 2, 2, 1, 1, 1, 1)
DILATIONS = (1, 1, 1, 1, 2, 4, 2, 1)
RESIDUAL_LEVELS = (3, 4, 5, 6)


class DRN(nn.Module):
    """Eight levels, of which the last two undo the pattern that dilation leaves.

    Levels 1, 2, 7 and 8 are plain 3x3 convolutions, the others residual blocks. They
    are at strides 1, 2, 4 and, from the fourth, 8.

    Attributes:
        depth: 22, 38, 54 or 105 layers; from 54 blocks are bottlenecks, which have four
            times as many channels.
        channels: of each level; the 7x7 convolution before has the first's.
        blocks: of each level; None for those of the published depth.
        remat: whether the backward pass computes the residual blocks again.
        dtype: of the computation.
    """

    depth: int = 105
    channels: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 512, 512)
    blocks: tuple[int, ...] | None = None
    remat: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to the eight levels."""
        if self.depth not in DEPTHS:
            raise ValueError(f"depth {self.depth} is not one of {sorted(DEPTHS)}")
        published, _ = DEPTHS[self.depth]
        x = ConvNorm(
            self.channels[0],
            7,
            padding=symmetric_padding(7),
            dtype=self.dtype,
            name="layer0_0",
        )(x, train=train)
        levels = []
        for level, num_blocks in enumerate(self.blocks or published, start=1):
            for index in range(num_blocks):
                x = self._layer(x, level, index, train)
            levels.append(x)
        return tuple(levels)

    def _layer(self, x: jax.Array, level: int, index: int, train: bool) -> jax.Array:
        """A residual block or a convolution; the first of a level has its stride."""
        features = self.channels[level - 1]
        strides = STRIDES[level - 1] if index == 0 else 1
        dilation = DILATIONS[level - 1]
        name = f"layer{level}_{index}"
        if level in RESIDUAL_LEVELS:
            return self._block_class()(
                features,
                strides=strides,
                dilations=(dilation, dilation),
                dtype=self.dtype,
                name=name,
            )(x, train)
        return ConvNorm(
            features,
            3,
            strides=strides,
            dilation=dilation,
            padding=symmetric_padding(3, dilation),
            dtype=self.dtype,
            name=name,
        )(x, train=train)

    def _block_class(self) -> Any:
        _, is_bottleneck = DEPTHS[self.depth]
        block: Any = Bottleneck if is_bottleneck else BasicBlock
        return nn.remat(block, static_argnums=(2,)) if self.remat else block
