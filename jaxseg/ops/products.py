"""Products of matrices of 16 bits that are fast on every device: `dot_general`."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def dot_general(
    lhs: jax.Array, rhs: jax.Array, dimension_numbers: Any, precision: Any = None
) -> jax.Array:
    """As `lax.dot_general`, in the type of both, for `nn.Dense(dot_general=...)`.

    Sums are made in float32 everywhere, but XLA takes a CPU's own products of bfloat16
    only where they are asked for as float32, and multiplies in float32 otherwise, as it
    does in the gradient, whose other factor is float32.
    """
    dtype = jnp.result_type(lhs, rhs)
    is_short = jax.default_backend() == "cpu" and dtype == jnp.bfloat16
    found = lax.dot_general(
        lhs,
        rhs,
        dimension_numbers,
        precision=precision,
        preferred_element_type=jnp.float32 if is_short else None,
    )
    return found.astype(dtype)


def matmul(lhs: jax.Array, rhs: jax.Array) -> jax.Array:
    """`dot_general` of rows [..., K] and a matrix [K, N]."""
    return dot_general(lhs, rhs, (((lhs.ndim - 1,), (0,)), ((), ())))
