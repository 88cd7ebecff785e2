import jax
import numpy as np
import pytest

from jaxseg.ops.spectral_graph import normalise
from jaxseg.ops.spectral_krylov import TOLERANCE, Sizes, checked, largest, single


def weights(n=90):
    points = np.random.default_rng(0).uniform(size=(n, 2))
    squares = np.sum((points[:, None] - points) ** 2, axis=-1)
    return np.exp(-20 * squares).astype(np.float32)


def dense():
    w = weights().astype(np.float64)
    degrees = w.sum(axis=1)
    return w / np.sqrt(degrees) / np.sqrt(degrees)[:, None]


def solve(sizes, count=4):
    graph = normalise(weights())
    return jax.tree.map(np.asarray, jax.jit(lambda: largest(graph, count, sizes))())


@pytest.mark.parametrize("sizes", [Sizes(8, 3, 3), Sizes(1, 48, 1)])
def test_eigenpairs_are_numpys(sizes):
    found = solve(sizes)
    expected = np.linalg.eigvalsh(dense())[::-1][1:5]
    np.testing.assert_allclose(found.theta, expected, atol=1e-5)
    np.testing.assert_allclose(
        dense() @ found.vectors, found.vectors * found.theta, atol=2e-4
    )
    assert found.residual <= TOLERANCE


def test_the_residual_is_known_without_a_product():
    found = solve(Sizes(4, 2, 1))  # far too few
    errors = dense() @ found.vectors - found.vectors * found.theta
    worst = np.max(np.linalg.norm(errors, axis=0))
    assert worst > 1e-2
    np.testing.assert_allclose(found.residual, worst, rtol=1e-2)


def test_a_basis_that_leads_nowhere_grows_on():
    ones = normalise(np.ones((60, 60), np.float32))
    found = jax.jit(lambda: largest(ones, 3, Sizes(8, 3, 2)))()
    assert found.residual < 1e-6
    np.testing.assert_allclose(found.theta, 0, atol=1e-6)
    gram = found.vectors.T @ found.vectors
    np.testing.assert_allclose(gram, np.eye(3), atol=1e-5)


def test_small_graphs_are_left_to_eigh():
    assert checked(900, 4) == Sizes(8, 3, 5)
    assert checked(9, 4) is None and checked(48, 4) is None
    assert checked(100, 50) is None
    assert single(48, 4) is None and single(49, 4) == Sizes(1, 48, 1)
