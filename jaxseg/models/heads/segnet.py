"""SegNet's decoder (Badrinarayanan et al. 2017): VGG backwards."""

from typing import Any, Literal

import flax.linen as nn
import jax

from jaxseg.models.backbones.vgg import ConvBlock
from jaxseg.ops.resize import resize_bilinear
from jaxseg.ops.unpooling import max_unpool


class SegNet(nn.Module):
    """Pools the last stage, then enlarges and convolves once for each stage.

    Each stage is halved by the pooling before the next, as those of `VGG`. Of it the
    decoder reads only its size and where the maxima were.

    Attributes:
        features: channels of the convolutions that follow each enlargement, deep to
            shallow; the last of each must be the channels of the next shallower stage.
        unpool: "indices" puts values back where the maxima were, as in the paper;
            "bilinear" enlarges with centred pixels, which accelerators do faster.
        use_bias: whether the convolutions have a bias.
        dtype: of the computation.
    """

    features: tuple[tuple[int, ...], ...] = (
        (512, 512, 512),
        (512, 512, 256),
        (256, 256, 128),
        (128, 64),
        (64, 64),
    )
    unpool: Literal["indices", "bilinear"] = "bilinear"
    use_bias: bool = True
    dtype: Any = "float32"

    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages to features [B, H, W, D] at the first one's size."""
        return self.levels(stages, train=train)[-1]

    @nn.compact
    def levels(
        self, stages: tuple[jax.Array, ...], *, train: bool
    ) -> tuple[jax.Array, ...]:
        """All levels [B, h, w, D], deep to shallow, for exits; the last is the result.

        Raises:
            ValueError: if there is not one level for each stage.
        """
        if self.unpool not in ("indices", "bilinear"):
            raise ValueError(f'unpool {self.unpool!r} is not "indices" or "bilinear"')
        if len(stages) != len(self.features):
            raise ValueError(
                f"{len(stages)} stages need as many levels, and features "
                f"{self.features} are {len(self.features)}"
            )
        x = nn.max_pool(stages[-1], (2, 2), strides=(2, 2))
        levels = []
        plan = zip(reversed(stages), self.features, strict=True)
        for index, (stage, features) in enumerate(plan, start=1):
            if self.unpool == "indices":
                x = max_unpool(x, stage)
            else:
                _, h, w, _ = stage.shape
                x = resize_bilinear(x, (h, w), align_corners=False)
            x = ConvBlock(
                features,
                use_bias=self.use_bias,
                dtype=self.dtype,
                name=f"level{index}",
            )(x, train)
            levels.append(x)
        return tuple(levels)
