import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev

from benchmarks import spectral_fields
from jaxseg.ops import spectral_chebyshev
from jaxseg.ops.affinity import affinity
from jaxseg.ops.spectral_graph import Graph, normalise, product
from tests.ops.test_spectral_krylov import dense, weights


def test_the_filter_makes_the_polynomials_of_the_matrix():
    graph, theta = normalise(jnp.asarray(weights())), jnp.array([0.9, 0.5])
    block = np.random.default_rng(1).normal(size=(90, 2)).astype(np.float32)
    ours = spectral_chebyshev._filter(graph, theta, block, product(graph, block))
    values, vectors = np.linalg.eigh(dense())
    mapped = (values - (0.5 - 1) / 2) / ((0.5 + 1) / 2)
    assert len(ours) == 8
    for degree, found in enumerate(ours, start=1):
        polynomial = chebyshev.chebval(mapped, np.eye(9)[degree])
        expected = vectors @ (polynomial[:, None] * (vectors.T @ block))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-2)


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


def test_the_last_polynomials_come_nearer_than_the_highest_alone(monkeypatch):
    drawn = np.random.default_rng(0).normal(size=(200, 200))
    drawn[:, 0] = 1
    basis, _ = np.linalg.qr(drawn)
    values = np.concatenate([[1, 0.9, 0.87, 0.84, 0.81], np.geomspace(0.75, 1e-3, 195)])
    constant = jnp.full(200, 200**-0.5)
    matrix = jnp.asarray((basis * values) @ basis.T, jnp.float32)
    graph = Graph(matrix, jnp.ones(200), constant)

    def error():
        vectors = spectral_chebyshev.largest(graph, 4).vectors
        return np.linalg.norm(vectors - basis[:, 1:5] @ (basis[:, 1:5].T @ vectors))

    with_four = error()
    monkeypatch.setattr(spectral_chebyshev, "LAST", 1)
    assert with_four < 0.2 * error()


def test_blocks_that_all_but_repeat_each_other_leave_the_answer_exact():
    features, _ = spectral_fields.make(spectral_fields.KINDS["A"], 4, 30, 384)
    solve = jax.jit(lambda x: spectral_chebyshev.largest(normalise(affinity(x)), 4))
    for each in features:
        assert solve(each).residual < 1e-5
