"""HRNet (Wang et al. 2020): branches of four sizes side by side, which keep exchanging.

    image -> stem -> layer1 -+-> stage2 -+-> stage3 -+-> stage4 -> width,   stride 4
                             +-> stage2 -+-> stage3 -+-> stage4 -> 2 width, stride 8
                                         +-> stage3 -+-> stage4 -> 4 width, stride 16
                                                     +-> stage4 -> 8 width, stride 32

Read `HRNet` first, then `Exchange`, of which a stage is a row. Windows are padded
symmetrically, as in PyTorch. Submodules carry the published names (`branches_1_0` for
`branches.1.0`).
"""

from typing import Any, Literal, get_args

import flax.linen as nn
import jax

from jaxseg.models.backbones.resnet import BasicBlock, Bottleneck
from jaxseg.models.layers import ConvNorm, symmetric_padding
from jaxseg.ops.resize import resize_bilinear, resize_nearest

Fusion = Literal["aligned", "centred", "nearest"]


class HRNet(nn.Module):
    """Four branches at strides 4, 8, 16 and 32; the finest is as deep as the others.

    Attributes:
        width: channels of the finest branch (18, 32, 48 and 64 are published); each
            coarser one has twice as many.
        modules: exchanges in a row in stages 2 to 4; each stage adds a branch.
        blocks: residual blocks of layer1 and of every branch in every exchange.
        stem_width: channels of the stem; layer1 has four times as many.
        fusion: how coarse branches are enlarged: linearly with aligned corners, as the
            segmentation networks were trained; linearly with centred pixels; or to the
            nearest, as the ImageNet classifiers were.
        early_stages: whether the stem, layer1 and the finest branch before each later
            stage come first in the result. Heads then count from the end.
        remat: whether the backward pass computes blocks and exchanges again.
        dtype: of the computation.
    """

    width: int = 48
    modules: tuple[int, ...] = (1, 4, 3)
    blocks: int = 4
    stem_width: int = 64
    fusion: Fusion = "aligned"
    early_stages: bool = False
    remat: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps [B, H, W, 3] to the branches after the last stage, fine to coarse."""
        if self.fusion not in get_args(Fusion):
            raise ValueError(f"fusion {self.fusion!r} is not one of {get_args(Fusion)}")
        exchange = nn.remat(Exchange, static_argnums=(2,)) if self.remat else Exchange
        stem, x = self._beginning(x, train)
        early = [stem, x]
        branches = [
            _window(self.width, dtype=self.dtype, name="transition1_0")(x, train=train)
        ]
        coarsest = x  # so that the second branch starts with all of layer1's channels
        for index, num_modules in enumerate(self.modules, start=1):
            added = _window(
                self.width * 2**index,
                strides=2,
                dtype=self.dtype,
                name=f"transition{index}_{index}",
            )(coarsest, train=train)
            if index > 1:
                early.append(branches[0])
            branches.append(added)
            for module in range(num_modules):
                branches = exchange(
                    self.blocks,
                    fusion=self.fusion,
                    dtype=self.dtype,
                    name=f"stage{index + 1}_{module}",
                )(branches, train)
            coarsest = branches[-1]
        return (*early, *branches) if self.early_stages else tuple(branches)

    def _beginning(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """The outputs of the stem and of layer1, both at stride 4."""
        block = nn.remat(Bottleneck, static_argnums=(2,)) if self.remat else Bottleneck
        for index in (1, 2):
            x = _window(
                self.stem_width, strides=2, dtype=self.dtype, name=f"conv{index}"
            )(x, train=train)
        stem = x
        for index in range(self.blocks):
            x = block(self.stem_width, dtype=self.dtype, name=f"layer1_{index}")(
                x, train
            )
        return stem, x


class Exchange(nn.Module):
    """Residual blocks on each branch; then each becomes the sum of all, at its size.

    Attributes:
        blocks: residual blocks of each branch.
        fusion: how a coarse branch is enlarged, as for `HRNet`.
        dtype: of the computation.
    """

    blocks: int = 4
    fusion: Fusion = "aligned"
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, branches: list[jax.Array], train: bool) -> list[jax.Array]:
        """Maps branches [B, h, w, D], fine to coarse, to others of the same shapes."""
        refined = []
        for index, x in enumerate(branches):
            *_, channels = x.shape
            for block in range(self.blocks):
                x = BasicBlock(
                    channels, dtype=self.dtype, name=f"branches_{index}_{block}"
                )(x, train)
            refined.append(x)
        return [self._fuse(refined, target, train) for target in range(len(refined))]

    def _fuse(self, branches: list[jax.Array], target: int, train: bool) -> jax.Array:
        """ReLU of the sum of all branches, each brought to the target's shape."""
        total = branches[target]
        for source in range(len(branches)):
            if source < target:
                total += self._shrunk(branches, source, target, train)
            elif source > target:
                total += self._enlarged(branches, source, target, train)
        return nn.relu(total)

    def _shrunk(
        self, branches: list[jax.Array], source: int, target: int, train: bool
    ) -> jax.Array:
        """Halves a finer branch again and again; the last time changes the channels."""
        x = branches[source]
        for step in range(source + 1, target + 1):
            is_last = step == target
            x = _window(
                branches[target if is_last else source].shape[-1],
                strides=2,
                activation=None if is_last else nn.relu,
                dtype=self.dtype,
                name=f"fuse_layers_{target}_{source}_{step - source - 1}",
            )(x, train=train)
        return x

    def _enlarged(
        self, branches: list[jax.Array], source: int, target: int, train: bool
    ) -> jax.Array:
        """Changes a coarser branch's channels while it is small, then enlarges it."""
        _, h, w, channels = branches[target].shape
        x = ConvNorm(
            channels,
            activation=None,
            dtype=self.dtype,
            name=f"fuse_layers_{target}_{source}",
        )(branches[source], train=train)
        if self.fusion == "nearest":
            return resize_nearest(x, (h, w))
        return resize_bilinear(x, (h, w), align_corners=self.fusion == "aligned")


def _window(features: int, **fields: Any) -> ConvNorm:
    """A 3x3 convolution with normalisation and ReLU; part of the caller."""
    return ConvNorm(features, 3, padding=symmetric_padding(3), **fields)
