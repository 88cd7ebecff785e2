"""The rotation nearest to a matrix, with a gradient wherever there is one."""

import jax
import jax.numpy as jnp


@jax.custom_jvp
def nearest_rotation(matrix: jax.Array) -> jax.Array:
    """Projects matrices on the rotations: P = U diag(1, 1, det(U V^T)) V^T.

    Args:
        matrix: [..., 3, 3] float32.

    Returns:
        [..., 3, 3] the rotation of least Frobenius distance.
    """
    u, _, vt = _signed_svd(matrix)
    return _product(u, vt)


@nearest_rotation.defjvp
def _derivative(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Of P itself: that of U and V is infinite where singular values are equal.

    With M = U S V^T, det(U V^T) taken into U and S, and A = U^T dM V, the change is
    U K V^T, K_ij = (A_ij - A_ji) / (s_i + s_j). Where two values sum to zero (the
    nearest rotation is not unique) it is taken as 0.
    """
    (matrix,), (change,) = primals, tangents
    u, values, vt = _signed_svd(matrix)
    turned = _product(_product(jnp.swapaxes(u, -1, -2), change), _transposed(vt))
    sums = values[..., :, None] + values[..., None, :]
    unique = jnp.abs(sums) > 1e-6
    skew = (turned - _transposed(turned)) / jnp.where(unique, sums, 1.0)
    rotated = _product(_product(u, jnp.where(unique, skew, 0.0)), vt)
    return _product(u, vt), rotated


def _signed_svd(matrix: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """U, S, V^T with det(U V^T) = 1; the least of S may be negative for it."""
    u, values, vt = jnp.linalg.svd(matrix, full_matrices=False)
    sign = jnp.where(jnp.linalg.det(_product(u, vt)) < 0, -1.0, 1.0)
    signs = jnp.stack([jnp.ones_like(sign), jnp.ones_like(sign), sign], axis=-1)
    return u * signs[..., None, :], values * signs, vt


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision="highest")


def _transposed(matrix: jax.Array) -> jax.Array:
    return jnp.swapaxes(matrix, -1, -2)
