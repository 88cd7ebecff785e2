"""Convolutions written so that CPUs compute them fast, too.

All equal `lax.conv_general_dilated` up to rounding (tested), so that the choice is one
of speed only. On CPUs XLA's grouped convolutions are 10 to 100 times slower than sums
of shifted maps, and its dilated ones multiply the padding, which for the large rates
of an atrous pyramid is nearly everything. Read `depthwise_conv` first.

Everywhere x is [B, H, W, D], `padding` is "SAME" as XLA and TensorFlow define it (on
even sizes strided windows have the odd pixel of padding at the end) or explicit
((top, bottom), (left, right)), and one stride and one dilation serve both directions.
"""

import functools
from collections.abc import Iterator
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.ops.backward import linear

Padding = str | tuple[tuple[int, int], tuple[int, int]]
Formulation = Literal["auto", "native", "shifts"]


def native_conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: int = 1,
    dilation: int = 1,
    padding: Padding = "SAME",
    groups: int = 1,
) -> jax.Array:
    """The compiler's own convolution; kernel [kh, kw, D / groups, D']."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        _pads(x, kernel, strides, dilation, padding),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def pointwise_conv(x: jax.Array, kernel: jax.Array, *, strides: int = 1) -> jax.Array:
    """A 1x1 convolution as a matrix product; kernel [1, 1, D, D'].

    Strided, it drops the pixels that no output sees before multiplying.
    """
    return linear(x[:, ::strides, ::strides], kernel[0, 0])


def depthwise_conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: int = 1,
    dilation: int = 1,
    padding: Padding = "SAME",
    formulation: Formulation = "auto",
) -> jax.Array:
    """Convolves every channel with its own kernel.

    Args:
        x: [B, H, W, D].
        kernel: [kh, kw, 1, D].
        strides: distance of the outputs.
        dilation: distance of the taps.
        padding: "SAME" or ((top, bottom), (left, right)).
        formulation: "native" is the compiler's grouped convolution, "shifts" a sum of
            kh kw shifted maps; "auto" takes shifts on CPUs.

    Returns:
        [B, H', W', D].
    """
    if _choose(formulation) == "native":
        return native_conv(
            x,
            kernel,
            strides=strides,
            dilation=dilation,
            padding=padding,
            groups=x.shape[-1],
        )
    pads = _pads(x, kernel, strides, dilation, padding)
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    return _sum_of_shifts(padded, kernel, strides, dilation)


def atrous_conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    dilation: int,
    padding: Padding = "SAME",
    formulation: Formulation = "auto",
) -> jax.Array:
    """A dense convolution of stride 1 with spread-out taps.

    As "shifts" it is one matrix product per tap over the pixels that the tap finds
    inside the map; with rates near the map's size that saves most of the work.

    Args:
        x: [B, H, W, D].
        kernel: [kh, kw, D, D'].
        dilation: distance of the taps.
        padding: "SAME" or ((top, bottom), (left, right)).
        formulation: "native" or "shifts"; "auto" takes shifts on CPUs.

    Returns:
        [B, H', W', D'].
    """
    if _choose(formulation) == "native":
        return native_conv(x, kernel, dilation=dilation, padding=padding)
    kh, kw, _, _ = kernel.shape
    _, h, w, _ = x.shape
    (top, bottom), (left, right) = _pads(x, kernel, 1, dilation, padding)
    height = h + top + bottom - (kh - 1) * dilation
    width = w + left + right - (kw - 1) * dilation

    total = jnp.zeros((x.shape[0], height, width, kernel.shape[-1]), x.dtype)
    for i in range(kh):
        source_rows, target_rows = _overlap(h, height, i * dilation - top)
        for j in range(kw):
            source_columns, target_columns = _overlap(w, width, j * dilation - left)
            inside = x[:, source_rows, source_columns]
            if inside.size:
                around = ((0, 0), target_rows, target_columns, (0, 0))
                total += jnp.pad(inside @ kernel[i, j], around)
    return total


def _choose(formulation: Formulation) -> str:
    if formulation == "auto":
        return "shifts" if jax.default_backend() == "cpu" else "native"
    if formulation not in ("native", "shifts"):
        raise ValueError(
            f"formulation is {formulation!r}; choose 'auto', 'native' or 'shifts'"
        )
    return formulation


def _pads(
    x: jax.Array, kernel: jax.Array, strides: int, dilation: int, padding: Padding
) -> tuple[tuple[int, int], tuple[int, int]]:
    if not isinstance(padding, str):
        return padding
    if padding != "SAME":
        raise ValueError(f"padding is {padding!r}; give 'SAME' or explicit pairs")
    spans = [(size - 1) * dilation + 1 for size in kernel.shape[:2]]
    high, wide = lax.padtype_to_pads(x.shape[1:3], spans, (strides, strides), "SAME")
    return high, wide


def _overlap(size: int, new_size: int, shift: int) -> tuple[slice, tuple[int, int]]:
    """The source pixels a tap sees, and how many target pixels lie around them."""
    start = max(0, -shift)
    stop = max(start, min(new_size, size - shift))
    return slice(start + shift, stop + shift), (start, new_size - stop)


def _shifts(
    padded: jax.Array,
    taps: tuple[int, int],
    shape: tuple[int, int],
    strides: int,
    dilation: int,
) -> Iterator[jax.Array]:
    """What each tap in turn sees of a padded map: [B, H', W', D], row by row."""
    b, _, _, d = padded.shape
    height, width = shape
    for i in range(taps[0]):
        for j in range(taps[1]):
            start = (0, i * dilation, j * dilation, 0)
            last = (
                b,
                start[1] + (height - 1) * strides + 1,
                start[2] + (width - 1) * strides + 1,
                d,
            )
            yield lax.slice(padded, start, last, (1, strides, strides, 1))


# The compiler fuses the forward sum into one loop, but not the gradient it derives: a
# map per tap is written to memory. So both gradients are spelt out below.
@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _sum_of_shifts(
    padded: jax.Array, kernel: jax.Array, strides: int, dilation: int
) -> jax.Array:
    kh, kw, _, d = kernel.shape
    _, h, w, _ = padded.shape
    height = (h - (kh - 1) * dilation - 1) // strides + 1
    width = (w - (kw - 1) * dilation - 1) // strides + 1
    shifts = _shifts(padded, (kh, kw), (height, width), strides, dilation)
    weights = kernel.reshape(kh * kw, d)
    first, *others = (
        weight * seen for weight, seen in zip(weights, shifts, strict=True)
    )
    return sum(others, start=first)


def _forward(padded, kernel, strides, dilation):
    return _sum_of_shifts(padded, kernel, strides, dilation), (padded, kernel)


def _backward(strides, dilation, saved, gradient):
    padded, kernel = saved
    return (
        _input_gradient(kernel, gradient, padded.shape, strides, dilation),
        _kernel_gradient(padded, gradient, kernel, strides, dilation),
    )


_sum_of_shifts.defvjp(_forward, _backward)


def _input_gradient(kernel, gradient, padded_shape, strides, dilation):
    """The gradient spread to the inputs' grid, convolved with the mirrored kernel."""
    kh, kw, _, _ = kernel.shape
    pads = [(0, 0, 0)]
    for size, outputs, taps in zip(
        padded_shape[1:3], gradient.shape[1:3], (kh, kw), strict=True
    ):
        reach = (taps - 1) * dilation
        spread = (outputs - 1) * strides + 1
        pads.append((reach, size - spread, strides - 1))
    zero = jnp.zeros((), gradient.dtype)
    spread_out = lax.pad(gradient, zero, [*pads, (0, 0, 0)])
    return _sum_of_shifts(spread_out, kernel[::-1, ::-1], 1, dilation)


def _kernel_gradient(padded, gradient, kernel, strides, dilation):
    """Sums seen pixel times gradient for each tap, in float32, a few rows at a time.

    At once the compiler would write out one shifted copy of the map per tap, and on
    CPUs touching that much new memory takes five times as long as the sums.
    """
    kh, kw, _, d = kernel.shape
    b, height, width, _ = gradient.shape
    rows = _rows_at_a_time(height, row_size=b * width * d)
    span = (rows - 1) * strides + (kh - 1) * dilation + 1

    def add_rows(total, start):
        seen = lax.dynamic_slice_in_dim(padded, start * strides, span, axis=1)
        part = lax.dynamic_slice_in_dim(gradient, start, rows, axis=1)
        shifts = _shifts(seen, (kh, kw), (rows, width), strides, dilation)
        sums = [
            jnp.sum(shifted * part, axis=(0, 1, 2), dtype=jnp.float32)
            for shifted in shifts
        ]
        return total + jnp.stack(sums), None

    total = jnp.zeros((kh * kw, d), jnp.float32)
    total, _ = lax.scan(add_rows, total, jnp.arange(0, height, rows))
    return total.reshape(kernel.shape).astype(kernel.dtype)


def _rows_at_a_time(height: int, *, row_size: int) -> int:
    """The largest divisor of the height whose rows fit a processor's cache."""
    fits = max(1, 2**18 // row_size)
    return max(n for n in range(1, height + 1) if height % n == 0 and n <= fits)
