import jax.numpy as jnp
import numpy as np
import scipy.linalg

from jaxseg.ops.spectral_eigh import largest
from jaxseg.ops.spectral_graph import normalise
from tests.ops.test_spectral_krylov import dense, weights


def test_eigenpairs_are_numpys_but_the_first():
    found = largest(normalise(jnp.asarray(weights())), 5)
    expected = np.linalg.eigvalsh(dense())[::-1][1:6]
    np.testing.assert_allclose(found.theta, expected, atol=1e-6)
    assert found.residual < 1e-5


def test_vectors_of_parts_are_orthogonal_to_the_constant_one():
    ones = [np.ones((size, size), np.float32) for size in (3, 5, 2)]
    graph = normalise(jnp.asarray(scipy.linalg.block_diag(*ones)))
    found = largest(graph, 3)
    np.testing.assert_allclose(found.theta, [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(graph.constant @ found.vectors, 0, atol=1e-6)
