"""The expanding path of U-Net (Ronneberger et al. 2015), for any backbone."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.backbones.vgg import ConvBlock
from jaxseg.ops.resize import resize_bilinear


class UNet(nn.Module):
    """From the deepest stage up, each map is enlarged and joined with the next stage.

    Attributes:
        features: channels of each level, deep to shallow; one fewer than stages.
        enlarge: "transposed" is the paper's 2x2 convolution, which also gives the level
            its channels; the stages must halve in size. "bilinear" enlarges by any
            factor, with centred pixels, and leaves the channels to the convolutions.
        use_bias: whether the 3x3 convolutions have a bias.
        dtype: of the computation.
    """

    features: tuple[int, ...] = (512, 256, 128, 64)
    enlarge: Literal["transposed", "bilinear"] = "transposed"
    use_bias: bool = False
    dtype: Any = "float32"

    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages to features [B, h, w, D] at the first one's size."""
        return self.levels(stages, train=train)[-1]

    @nn.compact
    def levels(
        self, stages: tuple[jax.Array, ...], *, train: bool
    ) -> tuple[jax.Array, ...]:
        """All levels [B, h, w, D], deep to shallow, for exits; the last is the result.

        Raises:
            ValueError: if there is not one level for each stage but the deepest.
        """
        if self.enlarge not in ("transposed", "bilinear"):
            raise ValueError(
                f'enlarge {self.enlarge!r} is not "transposed" or "bilinear"'
            )
        *skips, x = stages
        if len(skips) != len(self.features):
            raise ValueError(
                f"{len(stages)} stages need {len(skips)} levels, and features "
                f"{self.features} are {len(self.features)}"
            )
        levels = []
        plan = zip(reversed(skips), self.features, strict=True)
        for index, (skip, features) in enumerate(plan, start=1):
            _, h, w, _ = skip.shape
            x = self._enlarged(x, features, (h, w), f"up{index}")
            x = ConvBlock(
                (features, features),
                use_bias=self.use_bias,
                dtype=self.dtype,
                name=f"level{index}",
            )(jnp.concatenate([skip.astype(x.dtype), x], axis=-1), train)
            levels.append(x)
        return tuple(levels)

    def _enlarged(
        self, x: jax.Array, features: int, shape: tuple[int, int], name: str
    ) -> jax.Array:
        if self.enlarge == "bilinear":
            return resize_bilinear(x, shape, align_corners=False)
        x = nn.ConvTranspose(
            features,
            (2, 2),
            strides=(2, 2),
            transpose_kernel=True,  # PyTorch's layout, which published weights have
            dtype=self.dtype,
            name=name,
        )(x)
        return _fitted(x, shape)


def _fitted(x: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Adds or drops the one row and column by which halving may have rounded."""
    missing = [wanted - size for wanted, size in zip(shape, x.shape[1:3], strict=True)]
    if any(abs(number) > 1 for number in missing):
        raise ValueError(
            f"a doubled map {x.shape[1:3]} does not meet a stage {shape}: the stages "
            'must halve in size, or set enlarge="bilinear"'
        )
    padding = [(0, max(number, 0)) for number in missing]
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    return x[:, : shape[0], : shape[1]]
