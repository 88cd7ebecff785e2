"""The same picture at several scales and mirrored, the answers put together."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.ops.resize import resize_within
from jaxseg.ops.scales import scaled
from jaxseg.protocols import base
from jaxseg.protocols.whole import Whole

RULES = ("logits", "probabilities", "maximum")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiScale(base.Protocol):
    """Another protocol at several scales, and on the mirrored picture.

    At scale s a picture has int(s h) x int(s w) pixels. The logits of every scale and
    mirroring are resized back to the picture's size and put together by the `rule`:

        logits         their mean, as PiCo's code base does (Wang et al. 2021), which
                       adds them up: the classes are the same
        probabilities  the mean of their softmax
        maximum        the largest per pixel and class, as SPNet (Xian et al. 2019)

    Memory beside the inner protocol's: the sum, once at the canvas's size, and the
    logits of one scale.

    Attributes:
        inner: the protocol at each scale.
        scales: factors of both sides.
        flip: whether every scale is also seen mirrored left to right.
        rule: one of the above.
        align_corners: of both resizings.
        whole_below: scales below this see the whole picture whatever `inner` is, which
            is PiCo's rule for windows; 0 for none.
    """

    inner: base.Protocol = Whole()
    scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
    flip: bool = True
    rule: str = "logits"
    align_corners: bool = True
    whole_below: float = 1.0

    def __post_init__(self):
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f"scales are factors above 0, got {self.scales}")
        if self.rule not in RULES:
            raise ValueError(f"rule is one of {', '.join(RULES)}, got {self.rule!r}")
        if not self.inner.keeps_size:
            raise ValueError(
                f"{type(self.inner).__name__} cannot be inside MultiScale, which sizes "
                "pictures itself: put MultiScale inside of it"
            )

    def __call__(
        self,
        network: base.Network,
        image: jax.Array,
        size: jax.Array,
        *,
        fill: base.Colour,
    ) -> jax.Array:
        total = None
        for scale in self.scales:
            for mirrored in (False, True)[: 1 + self.flip]:
                # One answer after the other, or all of them are in memory at once.
                image, total = lax.optimization_barrier((image, total))
                logits = self._at(scale, mirrored, network, image, size, fill)
                total = combine(total, logits, self.rule)
        assert total is not None  # there is a scale
        if self.rule == "maximum":
            return total
        return total / (len(self.scales) * (1 + self.flip))

    def _at(self, scale, mirrored, network, image, size, fill) -> jax.Array:
        """Logits of one scale at the picture's own size, of its mirror image or not."""
        if scale == 1:
            return self._logits(network, image, size, fill, scale, mirrored)
        _, height, width, _ = image.shape
        resized = functools.partial(resize_within, align_corners=self.align_corners)
        shape, new_size = (
            (scaled(height, scale), scaled(width, scale)),
            scaled(size, scale),
        )
        image = resized(image.astype(jnp.float32), size, new_size, shape)
        logits = self._logits(network, image, new_size, fill, scale, mirrored)
        return resized(logits, new_size, size, (height, width))

    def _logits(self, network, image, size, fill, scale, mirrored) -> jax.Array:
        """Logits of a picture at one scale, by the protocol for that."""
        inner = self.inner
        if scale < self.whole_below and not isinstance(inner, Whole):
            inner = Whole()
        if not mirrored:
            return inner(network, image, size, fill=fill)
        logits = inner(network, mirror(image, size), size, fill=fill)
        return mirror(logits, size)


def mirror(x: jax.Array, size: jax.Array) -> jax.Array:
    """Swaps left and right of the pictures in canvases [B, H, W, D], sizes [B, 2]."""
    _, _, width, _ = x.shape
    column = jnp.maximum(size[:, 1, None] - 1 - jnp.arange(width), 0)
    return jax.vmap(lambda x, column: jnp.take(x, column, axis=1))(x, column)


def combine(total: jax.Array | None, logits: jax.Array, rule: str) -> jax.Array:
    """Takes one more answer [B, H, W, C] into the sum, or maximum, of those before.

    Args:
        total: of the answers before; None if there are none.
        logits: the new answer.
        rule: of `MultiScale`.
    """
    if rule == "probabilities":
        logits = jax.nn.softmax(logits, axis=-1)
    if total is None:
        return logits
    return jnp.maximum(total, logits) if rule == "maximum" else total + logits
