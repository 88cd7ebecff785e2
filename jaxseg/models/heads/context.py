"""CaGNet's contextual module (Gu et al. 2020): what surrounds a pixel, as a code.

Read `ContextHead.describe`. In training the code is drawn, and a generator learns to
make the pixel's feature from it and a word vector; prediction takes the code's mean.
"""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from jaxseg.models.generator import KERNEL_INIT
from jaxseg.models.layers import Conv


@flax.struct.dataclass
class Context:
    """What the module says of a batch.

    Attributes:
        features: [B, h, w, D] in (0, 1), sigmoid(h + h sigmoid(z)).
        latent: [B, h, w, D] the code z that was used.
        mean: [B, h, w, D] of the code's distribution.
        log_variance: [B, h, w, D].
        scale_weights: [B, h, w, S] how much of each scale a pixel uses.
        scales: S maps [B, h, w, width] of growing receptive field.
    """

    features: jax.Array
    latent: jax.Array
    mean: jax.Array
    log_variance: jax.Array
    scale_weights: jax.Array
    scales: tuple[jax.Array, ...]


class ContextModule(nn.Module):
    """Serial dilated convolutions, a selector of scales per pixel, mean and variance.

    Attributes:
        width: channels of each scale.
        dilations: of the serial 3x3 convolutions, one a scale.
        kind: "dilated" as in the paper; "none": no context, the code comes from 1x1
            convolutions of the pixel itself (the paper's ablation).
        selector: whether pixels weigh the scales; else all weigh 1 (the ablation).
        parity_relu: the ReLUs that the release has before the selector's sigmoid and on
            the logarithm of the variance, and the paper has not: they keep weights
            above 1/2 and the variance above 1.
        dtype: of the computation.
    """

    width: int = 256
    dilations: tuple[int, ...] = (1, 2, 5)
    kind: str = "dilated"
    selector: bool = True
    parity_relu: bool = False
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, h: jax.Array, noise: jax.Array | None) -> Context:
        """Describes maps.

        Args:
            h: [B, h, w, D] what the head made of the picture, any real numbers.
            noise: [B, h, w, D] of N(0, 1), which draws the code; None takes its mean.

        Raises:
            ValueError: if `kind` is unknown.
        """
        if self.kind not in ("dilated", "none"):
            raise ValueError(f'kind is "dilated" or "none", got {self.kind!r}')
        window = 3 if self.kind == "dilated" else 1
        scales = self._scales(nn.sigmoid(h), window)
        weights = self._weights(scales, window)
        weighted = [s * weights[..., i : i + 1] for i, s in enumerate(scales)]
        channels = h.shape[-1]
        pooled = nn.relu(
            self._conv(channels, 1, "pool")(jnp.concatenate(weighted, axis=-1))
        )
        mean = self._conv(channels, window, "mean")(pooled).astype(jnp.float32)
        log_variance = self._conv(channels, window, "log_variance")(pooled)
        log_variance = log_variance.astype(jnp.float32)
        if self.parity_relu:
            log_variance = nn.relu(log_variance)
        latent = mean
        if noise is not None:
            latent = mean + noise * jnp.exp(log_variance / 2)
        h = h.astype(jnp.float32)
        return Context(
            features=nn.sigmoid(h + h * nn.sigmoid(latent)),
            latent=latent,
            mean=mean,
            log_variance=log_variance,
            scale_weights=weights.astype(jnp.float32),
            scales=tuple(scales),
        )

    def _scales(self, x: jax.Array, window: int) -> list[jax.Array]:
        scales = []
        for index, dilation in enumerate(self.dilations):
            spread = dilation if window > 1 else 1
            x = nn.relu(self._conv(self.width, window, f"scale_{index}", spread)(x))
            scales.append(x)
        return scales

    def _weights(self, scales: list[jax.Array], window: int) -> jax.Array:
        """The weight of each scale at each pixel [B, h, w, S]; no softmax."""
        count = len(scales)
        if not self.selector:
            return jnp.ones((*scales[0].shape[:-1], count), scales[0].dtype)
        scores = self._conv(count, window, "selector")(jnp.concatenate(scales, axis=-1))
        return nn.sigmoid(nn.relu(scores) if self.parity_relu else scores)

    def _conv(self, features: int, window: int, name: str, dilation: int = 1) -> Conv:
        return Conv(
            features,
            window,
            dilation=dilation,
            dtype=self.dtype,
            kernel_init=KERNEL_INIT,
            name=name,
        )


class ContextHead(nn.Module):
    """A head, and the contextual module on its result: features for a classifier.

    Attributes:
        head: maps stages to h [B, h, w, D].
        context: a `ContextModule`.
        dtype: of the computation.
    """

    head: nn.Module
    context: nn.Module
    dtype: Any = "float32"

    def __call__(self, stages: tuple[jax.Array, ...], *, train: bool) -> jax.Array:
        """Maps stages to features [B, h, w, D], with the codes' means."""
        return self.describe(stages, None, train=train).features

    def describe(
        self, stages: tuple[jax.Array, ...], noise: jax.Array | None, *, train: bool
    ) -> Context:
        """Maps stages to features and all that they were made of.

        Args:
            stages: of the backbone.
            noise: [B, h, w, D] of N(0, 1) to draw codes with; None takes their means.
            train: of the head.
        """
        return self.context(self.head(stages, train=train), noise)
