import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev

from jaxseg.ops import spectral_chebyshev
from jaxseg.ops.spectral_graph import normalise, product
from tests.ops.test_spectral_krylov import dense, weights


def test_the_filter_is_the_polynomial_of_the_matrix():
    graph, theta = normalise(jnp.asarray(weights())), jnp.array([0.9, 0.5])
    block = np.random.default_rng(1).normal(size=(90, 2)).astype(np.float32)
    ours = spectral_chebyshev._filter(graph, theta, block, product(graph, block))
    values, vectors = np.linalg.eigh(dense())
    mapped = (values - (0.5 - 1) / 2) / ((0.5 + 1) / 2)
    polynomial = chebyshev.chebval(mapped, np.eye(9)[8])
    expected = vectors @ (polynomial[:, None] * (vectors.T @ block))
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-2)


def test_eigenpairs_are_numpys():
    graph = normalise(jnp.asarray(weights()))
    found = jax.jit(lambda: spectral_chebyshev.largest(graph, 4))()
    expected = np.linalg.eigvalsh(dense())[::-1][1:5]
    np.testing.assert_allclose(found.theta, expected, atol=1e-5)
    vectors = np.asarray(found.vectors)
    errors = dense() @ vectors - vectors * np.asarray(found.theta)
    worst = np.max(np.linalg.norm(errors, axis=0))
    np.testing.assert_allclose(found.residual, worst, atol=1e-5)


def test_small_graphs_are_left_to_eigh():
    assert spectral_chebyshev.fits(81, 4)
    assert not spectral_chebyshev.fits(64, 4)
