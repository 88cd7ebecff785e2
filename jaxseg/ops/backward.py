"""What keeps backward passes fast on CPUs: `linear`, `barrier`, `compiler_options`.

The compiler fuses a chain of elementwise operations into everything that reads it, and
computes it again each time. Along a network's residual connections the chain is as long
as the network, and where a reader wants it transposed, as the weights' gradients do,
that is a large part of a step, and of compiling it. None of this changes a result.
"""

from typing import Any

import jax
from jax import lax

# Barriers would be taken out before the compiler fuses, and not after.
CPU_OPTIONS = {"xla_disable_hlo_passes": "cse_barrier_expander"}


@jax.custom_vjp
def linear(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The product x @ kernel; its gradient to the kernel takes no transposed copy.

    Args:
        x: [..., D].
        kernel: [D, D'].

    Returns:
        [..., D'].
    """
    return x @ kernel


def _forward(x, kernel):
    return x @ kernel, (x, kernel)


def _backward(inputs, gradient):
    x, kernel = inputs
    *_, num_inputs = x.shape
    *_, num_outputs = gradient.shape
    rows = x.reshape(-1, num_inputs), gradient.reshape(-1, num_outputs)
    return gradient @ kernel.T, lax.dot_general(*rows, (((0,), (0,)), ((), ())))


linear.defvjp(_forward, _backward)


def barrier(x: Any) -> Any:
    """The same arrays, computed once: nothing before is fused with what comes after.

    It belongs where a residual block begins. It needs `compiler_options`, and is
    nothing where there is no need for it.
    """
    return lax.optimization_barrier(x) if jax.default_backend() == "cpu" else x


def compiler_options() -> dict[str, Any]:
    """For `compile(compiler_options=...)` and `jax.jit`, of programs with barriers."""
    return dict(CPU_OPTIONS) if jax.default_backend() == "cpu" else {}
