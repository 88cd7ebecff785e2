import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jaxseg.ops.rotation import nearest_rotation

MATRICES = np.random.default_rng(0).normal(size=(6, 3, 3)).astype(np.float32)


def test_it_is_the_solution_of_wahbas_problem():
    """SciPy aligns vectors by the rotation that maximises tr(P^T M), as ours does."""
    for matrix, ours in zip(MATRICES, nearest_rotation(MATRICES), strict=True):
        expected, _ = Rotation.align_vectors(matrix.T, np.eye(3))
        np.testing.assert_allclose(ours, expected.as_matrix(), atol=1e-5)
    assert (np.linalg.det(MATRICES) < 0).any()


def test_a_rotation_is_its_own_nearest():
    rotations = Rotation.random(4, random_state=0).as_matrix().astype(np.float32)
    np.testing.assert_allclose(nearest_rotation(rotations), rotations, atol=1e-5)
    np.testing.assert_allclose(
        jax.jit(nearest_rotation)(3.0 * rotations), rotations, atol=1e-5
    )


@pytest.mark.parametrize("matrix", [*MATRICES[:3], np.eye(3, dtype=np.float32)])
def test_its_derivative_is_that_of_small_steps(matrix):
    step = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    _, ours = jax.jvp(nearest_rotation, (jnp.asarray(matrix),), (jnp.asarray(step),))
    before, after = (nearest_rotation(matrix + s * step) for s in (-3e-3, 3e-3))
    np.testing.assert_allclose(ours, (after - before) / 6e-3, rtol=2e-2, atol=2e-2)


def test_the_gradient_is_finite_where_the_nearest_is_not_unique():
    for matrix in (np.zeros((3, 3)), np.diag([1.0, 1.0, -1.0])):
        weights = jnp.arange(9.0).reshape(3, 3)
        slope = jax.grad(lambda m, w=weights: jnp.sum(w * nearest_rotation(m)))(
            jnp.asarray(matrix, jnp.float32)
        )
        assert np.isfinite(slope).all()
