"""Pictures resized to the size a network was trained at, answers to their own size."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.ops import resize
from jaxseg.protocols import base
from jaxseg.protocols.whole import Whole

COMPARE_AT = ("picture", "resized", "map")
STRIP_ELEMENTS = 2**25  # logits in a strip of rows: 128 MB


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resized(base.Protocol):
    """Resizes pictures, lets another protocol see them, and resizes its logits back.

    With a short side, the other one follows, rounded down as torchvision's `Resize`; a
    long side as well is a limit to that: the picture becomes smaller rather than
    longer. With a long side alone, the short one follows. Or all become one `size`,
    whatever their shape, as SAZS and SPNet do.

    `fit` chooses the resized pictures' canvas: what the largest of them needs, in steps
    of `step`. Logits are cut to the unpadded picture before they are resized to its own
    size, and class ids are found a strip of rows at a time: beside the inner protocol's
    memory there are 128 MB, or one row of every picture if that is more, and never the
    logits at the pictures' own size.

    Attributes:
        short_side: pixels, or 0.
        long_side: pixels, or 0.
        size: height and width for all, or ().
        multiple: the canvas is filled up to multiples of this at the bottom and on the
            right; PiCo's code base has 8 (Wang et al. 2021).
        step: canvases longer than the shortest grow by this, a multiple of `multiple`:
            large, few programs are compiled; `multiple`, a picture alone has no padding
            but that.
        inner: the protocol that sees the resized picture.
        align_corners: of both resizings.
        smooth: whether pictures are smoothed where they shrink, as Pillow does.
        largest: logits of pictures with more than `largest`^2 pixels go to a size whose
            longer side is this, and class ids from there to the nearest pixel, as in
            the evaluation of LUSS (Gao et al. 2022), which has 1000; 0 for never.
        compare_at: where class ids and labels are compared: "picture", at its own
            pixels; "resized", at those of `size`, the labels sampled there, as SPNet's
            code (Xian et al. 2019); "map", at those of the network's map, the labels
            sampled from there once more, as CaGNet's (Gu et al. 2020).
        canvas: height and width of the canvas; of `fit`.
    """

    short_side: int = 0
    long_side: int = 0
    size: tuple[int, int] | tuple[()] = ()
    multiple: int = 1
    step: int = 64
    inner: base.Protocol = Whole()
    align_corners: bool = False
    smooth: bool = False
    largest: int = 0
    compare_at: str = "picture"
    canvas: tuple[int, int] | tuple[()] = ()

    def __post_init__(self):
        if bool(self.size) == bool(self.short_side or self.long_side):
            raise ValueError(
                "give short_side, long_side or both, or else size: got "
                f"{self.short_side}, {self.long_side} and {self.size}"
            )
        if min(self.short_side, self.long_side, self.largest, *self.size, 0) < 0:
            raise ValueError("sides are pixels and cannot be negative")
        if 0 < self.long_side < self.short_side:
            raise ValueError(
                f"long_side {self.long_side} is less than short_side {self.short_side}"
            )
        if self.multiple < 1 or self.step < 1 or self.step % self.multiple:
            raise ValueError(
                f"step {self.step} must be a multiple of multiple {self.multiple}"
            )
        if not self.inner.keeps_size:
            raise ValueError("a Resized inside of another would resize twice")
        if self.compare_at not in COMPARE_AT:
            raise ValueError(f"compare_at is one of {COMPARE_AT}: {self.compare_at!r}")
        if not self.compares_pixels and (not self.size or self.largest):
            raise ValueError(
                f"compare_at={self.compare_at!r} needs one size for all pictures: give "
                "size, and neither short_side, long_side nor largest"
            )
        if self.reads_maps and (self.multiple > 1 or self.inner != Whole()):
            raise ValueError(
                "compare_at='map' shows the network the whole resized picture: leave "
                "out multiple and inner"
            )

    @property
    def keeps_size(self) -> bool:
        return False

    @property
    def compares_pixels(self) -> bool:
        return self.compare_at == "picture"

    @property
    def reads_maps(self) -> bool:
        return self.compare_at == "map"

    def fit(self, sizes: np.ndarray) -> "Resized":
        sizes = np.maximum(np.asarray(sizes, np.int64), 1)
        largest = self.resized(sizes, np).max(axis=0)
        # Steps are counted from the side that all share, so that it is not padded.
        common = self.size or (self.short_side or self.long_side,) * 2
        height, width = (
            start + base.align(int(side) - start, self.step)
            for side, start in zip(
                largest,
                (base.align(side, self.multiple) for side in common),
                strict=True,
            )
        )
        return dataclasses.replace(self, canvas=(height, width))

    def resized(self, size: Any, xp: Any = jnp) -> Any:
        """Sizes [B, 2] after resizing; `xp` is NumPy on the host."""
        if self.size:
            return xp.broadcast_to(xp.asarray(self.size), size.shape)
        short, long = xp.min(size, axis=1), xp.max(size, axis=1)
        to_short = xp.stack(
            [short * 0 + self.short_side, long * self.short_side // short]
        )
        to_long = xp.stack([short * self.long_side // long, short * 0 + self.long_side])
        by_long = to_short[1] > self.long_side
        if not self.long_side:
            by_long = by_long & False
        if not self.short_side:
            by_long = by_long | True
        new_short, new_long = xp.maximum(xp.where(by_long, to_long, to_short), 1)
        is_tall = size[:, 0] > size[:, 1]
        height = xp.where(is_tall, new_long, new_short)
        return xp.stack([height, new_short + new_long - height], axis=1)

    def __call__(
        self,
        network: base.Network,
        image: jax.Array,
        size: jax.Array,
        *,
        fill: base.Colour,
    ) -> jax.Array:
        _, height, width, _ = image.shape
        logits, new_size = self._logits(network, image, size, fill)
        rows = self._taps(new_size[:, 0], size, 0, jnp.arange(height))
        columns = self._taps(new_size[:, 1], size, 1, jnp.arange(width))
        return _sample(logits, rows, columns)

    def class_ids(
        self,
        network: base.Network,
        image: jax.Array,
        size: jax.Array,
        *,
        fill: base.Colour,
    ) -> jax.Array:
        b, height, width, _ = image.shape
        logits, new_size = self._logits(network, image, size, fill)
        if not self.compares_pixels:
            height, width = logits.shape[1:3] if self.reads_maps else self.size
            ids = jnp.argmax(logits[:, :height, :width], axis=-1)
            return ids.astype(jnp.int32)
        columns = self._taps(new_size[:, 1], size, 1, jnp.arange(width))
        depth = _strip_rows(b * width * logits.shape[-1], height)

        def strip(top: jax.Array) -> jax.Array:
            pixels = top + jnp.arange(depth)
            rows = self._taps(new_size[:, 0], size, 0, pixels)
            ids = jnp.argmax(_sample(logits, rows, columns), axis=-1)
            return ids.astype(jnp.int32)

        strips = lax.map(strip, jnp.arange(0, height, depth))  # [S, B, depth, W]
        return jnp.moveaxis(strips, 0, 1).reshape(b, -1, width)[:, :height]

    def truth(
        self, label: jax.Array, size: jax.Array, shape: tuple[int, int]
    ) -> jax.Array:
        if self.compares_pixels:
            return label
        for axis in (0, 1):
            # First where the resized picture has its pixels, then where the map has.
            pixels = jnp.arange(shape[axis]) * self.size[axis] // shape[axis]
            pixels = pixels * size[:, axis, None] // self.size[axis]  # [B, h]
            label = _pick(label, pixels, axis + 1)
        return label

    def at_pixels(
        self, ids: jax.Array, size: jax.Array, shape: tuple[int, int]
    ) -> jax.Array:
        if self.compares_pixels:
            return ids
        for axis in (0, 1):
            side, wanted = ids.shape[axis + 1], size[:, axis, None]
            middles = 2 * jnp.minimum(jnp.arange(shape[axis]), wanted - 1) + 1
            ids = _pick(ids, middles * side // (2 * wanted), axis + 1)
        return ids

    def shown(self, image: jax.Array, size: jax.Array) -> tuple[jax.Array, jax.Array]:
        if not self.canvas:
            raise ValueError("Resized has no canvas yet: call fit(sizes) on the host")
        new_size = self.resized(size)
        image = image.astype(jnp.float32)
        if self.smooth:
            image = resize.shrink_within(image, size, new_size, self.canvas)
        else:
            image = resize.resize_within(
                image, size, new_size, self.canvas, align_corners=self.align_corners
            )
        return image, new_size

    def _logits(self, network, image, size, fill) -> tuple[jax.Array, jax.Array]:
        """The inner protocol's, on the resized pictures' canvas, and their sizes."""
        image, new_size = self.shown(image, size)
        return self.inner(network, image, new_size, fill=fill), new_size

    def _taps(self, side, size, axis: int, pixels) -> resize.Taps:
        """Which logits along an axis make which of the pictures' own pixels."""
        wanted = size[:, axis]
        if self.largest:
            limited = self._limited(size)[:, axis, None]
            # The nearest pixel of a row of classes has the classes of that place.
            pixels = jnp.minimum(pixels, wanted[:, None] - 1)
            pixels = pixels * limited // wanted[:, None]
            wanted = limited[:, 0]
        return resize.linear_taps(
            side, wanted, pixels, align_corners=self.align_corners
        )

    def _limited(self, size: jax.Array) -> jax.Array:
        """Sizes [B, 2] with the longer side `largest` where there are more pixels."""
        long = jnp.max(size, axis=1, keepdims=True)
        is_large = jnp.prod(size, axis=1, keepdims=True) > self.largest**2
        return jnp.where(is_large, jnp.maximum(size * self.largest // long, 1), size)


def _sample(logits: jax.Array, rows: resize.Taps, columns: resize.Taps) -> jax.Array:
    logits = resize.sample_linear(logits, rows, axis=1)
    return resize.sample_linear(logits, columns, axis=2)


def _pick(ids: jax.Array, places: jax.Array, axis: int) -> jax.Array:
    """Rows or columns of maps [B, h, w], places [B, n] of each picture its own."""
    return jax.vmap(lambda one, at: jnp.take(one, at, axis=axis - 1))(ids, places)


def _strip_rows(row_elements: int, height: int) -> int:
    """How many rows are enlarged at a time."""
    return min(max(STRIP_ELEMENTS // row_elements, 1), height)
