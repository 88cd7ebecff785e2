"""Overlapping windows, for pictures larger than those a network was trained on."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.protocols import base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sliding(base.Protocol):
    """Logits of windows, averaged by how many windows hold the pixel.

    Along a side of n pixels, windows of w begin at 0, s, 2s, ... and the last, where it
    would not fit, at n - w: all lie inside the picture, and none sees its padding. A
    side shorter than the window is filled up to it with the colour `fill`. So a picture
    on a canvas of any shape gets what it would get alone.

    Windows without a picture are not computed. Memory beside the network's for
    `windows_at_once` windows: the sum of logits, once at the canvas's size.

    Attributes:
        window: height and width.
        stride: down and right, at most the window; () for the window, which overlaps
            only at the border.
        windows_at_once: how many the network is given in one batch, on each device.
    """

    window: tuple[int, int]
    stride: tuple[int, int] | tuple[()] = ()
    windows_at_once: int = 4

    def __post_init__(self):
        if len(self.window) != 2 or min(self.window) < 1:
            raise ValueError(f"window is (height, width) in pixels, got {self.window}")
        if self.stride and len(self.stride) != 2:
            raise ValueError(f"stride is (down, right) in pixels, got {self.stride}")
        for step, side in zip(self.steps, self.window, strict=True):
            if not 1 <= step <= side:
                raise ValueError(
                    f"stride {self.stride} must be 1 to the window's {self.window}: "
                    "beyond it there are pixels that no window holds"
                )
        if self.windows_at_once < 1:
            raise ValueError(f"windows_at_once is at least 1: {self.windows_at_once}")

    @property
    def steps(self) -> tuple[int, ...]:
        """The stride; that of no overlap where none is given."""
        return tuple(self.stride or self.window)

    def __call__(
        self,
        network: base.Network,
        image: jax.Array,
        size: jax.Array,
        *,
        fill: base.Colour,
    ) -> jax.Array:
        _, height, width, _ = image.shape
        image = base.extend(base.cover(image, size, fill), self.window, fill)
        _, *canvas, _ = image.shape
        tops, is_row = window_starts(
            size[:, 0], canvas[0], self.window[0], self.steps[0]
        )
        lefts, is_column = window_starts(
            size[:, 1], canvas[1], self.window[1], self.steps[1]
        )
        total = self._sum(network, image, (tops, is_row), (lefts, is_column))
        rows = coverage(tops, is_row, self.window[0], canvas[0])
        columns = coverage(lefts, is_column, self.window[1], canvas[1])
        counts = rows[:, :, None] * columns[:, None, :]
        mean = total / jnp.maximum(counts, 1)[..., None]
        return mean[:, :height, :width]

    def _sum(self, network, image, rows, columns) -> jax.Array:
        """Adds up the logits of all windows, [B, H, W, C]."""
        places, num_windows = window_list(rows, columns, self.windows_at_once)
        window = (1, *self.window)

        def cut(place):
            return lax.dynamic_slice(image, (*place, 0), (*window, 3))[0]

        def step(i, total):
            chunk = lax.dynamic_slice(
                places, (i * self.windows_at_once, 0), (self.windows_at_once, 3)
            )
            logits = network(jax.vmap(cut)(chunk)).astype(jnp.float32)
            for j in range(self.windows_at_once):
                here = (*chunk[j], 0)
                counts = i * self.windows_at_once + j < num_windows
                sums = lax.dynamic_slice(total, here, (*window, total.shape[-1]))
                sums += jnp.where(counts, logits[j], 0)
                total = lax.dynamic_update_slice(total, sums, here)
            return total

        shape = jax.eval_shape(network, jax.ShapeDtypeStruct((*window, 3), image.dtype))
        total = jnp.zeros((*image.shape[:3], shape.shape[-1]), jnp.float32)
        return lax.fori_loop(0, -(-num_windows // self.windows_at_once), step, total)


def window_starts(
    length: jax.Array, canvas: int, window: int, stride: int
) -> tuple[jax.Array, jax.Array]:
    """Where windows begin along one side of each picture.

    Args:
        length: int [B], n of each picture.
        canvas: the longest there may be; at least the window.
        window: w.
        stride: s.

    Returns:
        int32 [B, K], starts, and bool [B, K], which of them the picture has.
    """
    most = -(-(canvas - window) // stride) + 1
    room = jnp.maximum(length - window, 0)[:, None]
    number = jnp.arange(most)
    starts = jnp.minimum(number * stride, room).astype(jnp.int32)
    return starts, number <= -(-room // stride)


def coverage(
    starts: jax.Array, exists: jax.Array, window: int, canvas: int
) -> jax.Array:
    """How many windows hold each place of one side, int32 [B, canvas]."""
    place = jnp.arange(canvas)
    inside = (starts[..., None] <= place) & (place < starts[..., None] + window)
    return jnp.sum(inside & exists[..., None], axis=1, dtype=jnp.int32)


def window_list(
    rows: tuple[jax.Array, jax.Array], columns: tuple[jax.Array, jax.Array], chunk: int
) -> tuple[jax.Array, jax.Array]:
    """All windows of all pictures in one list, those that exist first.

    Args:
        rows: of `window_starts`, down.
        columns: of `window_starts`, to the right.
        chunk: the list's length is rounded up to a multiple of this.

    Returns:
        int32 [N, 3], picture, top and left of each; and [] how many exist.
    """
    (tops, is_row), (lefts, is_column) = rows, columns
    b, k = tops.shape
    _, m = lefts.shape
    exists = (is_row[:, :, None] & is_column[:, None, :]).reshape(-1)
    picture = jnp.broadcast_to(jnp.arange(b)[:, None, None], (b, k, m))
    top = jnp.broadcast_to(tops[:, :, None], (b, k, m))
    left = jnp.broadcast_to(lefts[:, None, :], (b, k, m))
    places = jnp.stack([picture, top, left], axis=-1).reshape(-1, 3)
    places = places[jnp.argsort(~exists, stable=True)]
    places = jnp.pad(places, ((0, base.align(b * k * m, chunk) - b * k * m), (0, 0)))
    return places.astype(jnp.int32), jnp.sum(exists)
