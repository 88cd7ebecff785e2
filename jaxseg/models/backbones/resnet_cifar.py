"""The ResNets of He et al. (2016, section 4.2) for pictures of 32 x 32 pixels.

Published weights are of an `ImageClassifier` with ten classes.
"""

from typing import Any

import flax.linen as nn
import jax

from jaxseg.models.backbones.resnet import BasicBlock
from jaxseg.models.layers import ConvNorm, symmetric_padding


class ResNetCIFAR(nn.Module):
    """Three stages of (depth - 2) / 6 basic blocks, at strides 1, 2 and 4.

    Shortcuts have no weights: new channels are zero (the paper's option A).

    Attributes:
        depth: 6n + 2 layers: 20, 32, 44, 56 or 110 in the paper.
        width: channels of the first stage.
        epsilon: of the normalisations.
        remat: whether the backward pass computes the blocks again, to save memory.
        dtype: of the computation.
    """

    depth: int = 20
    width: int = 16
    epsilon: float = 1e-5
    remat: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to the outputs of layer1 to layer3."""
        num_blocks, rest = divmod(self.depth - 2, 6)
        if rest or num_blocks < 1:
            raise ValueError(f"depth {self.depth} is not 6 n + 2, as 20 and 56 are")
        block = nn.remat(BasicBlock, static_argnums=(2,)) if self.remat else BasicBlock
        x = ConvNorm(
            self.width,
            3,
            padding=symmetric_padding(3),
            epsilon=self.epsilon,
            dtype=self.dtype,
            name="stem",
        )(x, train=train)
        stages = []
        for stage in range(3):
            for index in range(num_blocks):
                x = block(
                    self.width * 2**stage,
                    strides=2 if stage > 0 and index == 0 else 1,
                    zero_shortcut=True,
                    epsilon=self.epsilon,
                    dtype=self.dtype,
                    name=f"layer{stage + 1}_{index}",
                )(x, train)
            stages.append(x)
        return tuple(stages)
