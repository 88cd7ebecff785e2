"""The whole picture at once, at its own size."""

import dataclasses

import jax

from jaxseg.protocols import base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whole(base.Protocol):
    """One pass over the canvas.

    A picture smaller than its canvas is not what it would be alone: convolutions and
    attention see the padding, pooling over the picture averages it in. Canvases of
    exactly the pictures' size are exact.

    Attributes:
        multiple: the canvas is filled up to multiples of this, as PiCo's code base
            does with 8 (Wang et al. 2021); the logits there are cut off again.
    """

    multiple: int = 1

    def __post_init__(self):
        if self.multiple < 1:
            raise ValueError(f"multiple is at least 1, got {self.multiple}")

    def __call__(
        self,
        network: base.Network,
        image: jax.Array,
        size: jax.Array,
        *,
        fill: base.Colour,
    ) -> jax.Array:
        _, height, width, _ = image.shape
        image = base.cover(image, size, fill)
        shape = base.align(height, self.multiple), base.align(width, self.multiple)
        return network(base.extend(image, shape, fill))[:, :height, :width]
