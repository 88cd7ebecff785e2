"""Formulations of the convolutions that CPUs compute slowly, side by side.

    python -m benchmarks.convolution

Forward and backward together, at sizes of the CamVid config's network; `ratio` is how
many times longer the compiler's own convolution takes.
"""

import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import measure
from jaxseg.ops import convolution

# What, x [B, H, W, D], kernel, dilation.
CASES = (
    ("depthwise", (8, 90, 120, 96), (3, 3, 1, 96), 1),
    ("atrous", (8, 12, 15, 320), (3, 3, 320, 256), 12),
)


def seconds(function: Callable[..., jax.Array], *arrays: jax.Array) -> float:
    """Median seconds of value and gradients, compiled."""

    def loss(*inputs: jax.Array) -> jax.Array:
        return jnp.sum(function(*inputs) ** 2)

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    jax.block_until_ready(run(*arrays))
    times = []
    for _ in range(5):
        began = time.perf_counter()
        jax.block_until_ready(run(*arrays))
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def main() -> None:
    rng = np.random.default_rng(0)
    for what, shape, kernel_shape, dilation in CASES:
        x, kernel = (
            jnp.asarray(rng.normal(size=size), jnp.float32)
            for size in (shape, kernel_shape)
        )
        function = getattr(convolution, f"{what}_conv")
        sizes = dict(x=shape, kernel=kernel_shape, dilation=dilation)
        native, shifts = (
            seconds(
                functools.partial(function, dilation=dilation, formulation=name),
                x,
                kernel,
            )
            for name in ("native", "shifts")
        )
        measure.report(measure.line(f"{what}, native", sizes, median=native))
        ratio = native / shifts
        line = measure.line(f"{what}, shifts", sizes, median=shifts, ratio=ratio)
        measure.report(line)


if __name__ == "__main__":
    main()
