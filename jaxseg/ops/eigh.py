"""Eigenpairs of small symmetric matrices that may be computed side by side: `eigh`.

On a CPU, jaxlib (0.10.2 at least) splits a batch of `jnp.linalg.eigh` among the threads
of the very pool that runs it, and waits for them. As soon as as many batches are
computed at once as the pool has threads, by independent parts of a program or by
devices that share the pool, all of them wait and the program hangs. One matrix is not
split, nor is a batch of which each device has one (`jax.set_mesh`).
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from jaxseg.ops.picture_map import num_devices


def eigh(matrix: jax.Array, *, triangle: str = "U") -> tuple[jax.Array, jax.Array]:
    """Eigenvalues, ascending, and eigenvectors of symmetric matrices.

    As `jnp.linalg.eigh`, without a gradient.

    Args:
        matrix: [..., m, m] float, of which one triangle is read.
        triangle: which, "U" or "L".

    Returns:
        [..., m] values and [..., m, m] vectors, in columns.
    """
    *lead, m, _ = matrix.shape
    one = _one(triangle)
    if not lead:
        return one(matrix)
    values, vectors = jax.vmap(one)(matrix.reshape(-1, m, m))
    return values.reshape(*lead, m), vectors.reshape(*lead, m, m)


@functools.cache
def _one(triangle: str):
    """The function of one matrix, whose batches are mapped on a CPU."""

    def solve(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
        values, vectors = jnp.linalg.eigh(matrix, UPLO=triangle, symmetrize_input=False)
        return values, vectors

    one = custom_vmap(solve)

    @one.def_vmap
    def batches(axis_size, in_batched, matrices):
        del in_batched  # the only argument is what is batched
        at_once = jax.vmap(solve)
        if axis_size <= num_devices():
            return at_once(matrices), (True, True)
        found = lax.platform_dependent(
            matrices, cpu=lambda x: lax.map(one, x), default=at_once
        )
        return found, (True, True)

    return one
