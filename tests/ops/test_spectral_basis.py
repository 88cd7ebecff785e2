import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops.spectral_basis import (
    extend,
    gram_schmidt,
    orthonormal,
    ritz,
    round_up,
    start,
    without,
)
from jaxseg.ops.spectral_graph import normalise


def drawn(n=30, p=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, p)).astype(np.float32)


def same_span(found, vectors):
    found = np.asarray(found, np.float64)
    np.testing.assert_allclose(found.T @ found, np.eye(found.shape[1]), atol=1e-5)
    basis, _ = np.linalg.qr(np.asarray(vectors, np.float64))
    np.testing.assert_allclose(found @ (found.T @ basis), basis, atol=1e-4)


def test_both_make_an_orthonormal_basis_of_the_same_span():
    same_span(orthonormal(drawn())[0], drawn())
    same_span(gram_schmidt(drawn()), drawn())


def test_columns_nearly_alike_keep_their_span():
    first, second = drawn(p=1), drawn(p=1, seed=1)
    found = gram_schmidt(np.hstack([first, first + 1e-3 * second]))
    rest = second - found @ (found.T @ second)
    assert np.linalg.norm(rest) < 1e-2 * np.linalg.norm(second)
    np.testing.assert_allclose(found.T @ found, np.eye(2), atol=1e-5)


def test_a_column_too_many_is_zero():
    vectors = drawn()
    vectors[:, 2] = vectors[:, 0] + vectors[:, 1]
    found = np.asarray(gram_schmidt(vectors))
    np.testing.assert_array_equal(found[:, 2], 0)
    same_span(found[:, [0, 1, 3]], vectors[:, [0, 1, 3]])
    found, is_noise = orthonormal(vectors)
    assert np.sum(is_noise) == 1
    same_span(np.asarray(found)[:, ~np.asarray(is_noise)], vectors[:, [0, 1, 3]])


def test_a_basis_grows_by_what_it_does_not_hold():
    basis, _ = np.linalg.qr(drawn())
    new = drawn(seed=1)
    found = extend(
        basis, 1e5 * np.hstack([basis[:, :1] + 1e-3 * new[:, :1], new[:, 1:]])
    )
    np.testing.assert_array_equal(found[:, :4], basis)
    same_span(found, np.hstack([basis, new]))


def test_what_rounding_leaves_of_a_held_column_is_zero():
    basis, _ = np.linalg.qr(drawn(90, 4))
    rounded = 1.0001 * basis  # what is left is 2e-4 long, and still within the basis
    found = extend(rounded, np.hstack([basis @ drawn(4, 1), drawn(90, 1, seed=1)]))
    np.testing.assert_array_equal(found[:, 4], 0)
    np.testing.assert_allclose(np.linalg.norm(found[:, 5]), 1, atol=1e-5)
    column = gram_schmidt(np.hstack([basis[:, :1], basis[:, :1]]))[:, 1]
    np.testing.assert_array_equal(column, 0)


def test_blocks_that_all_but_repeat_each_other_leave_the_basis_orthonormal():
    values = np.concatenate([np.linspace(1, 0.5, 8), np.linspace(0.03, 0, 892)])
    for seed in range(3):
        block = values[:, None] ** 3 * drawn(900, 8, seed)
        basis = jnp.zeros((900, 0))
        for _ in range(4):
            basis = extend(basis, block.astype(np.float32))
            block = values[:, None] * block
        products = np.asarray(basis.T @ basis)
        lengths = np.diag(products)
        assert np.all((lengths == 0) | (np.abs(lengths - 1) < 1e-5))
        np.testing.assert_allclose(products, np.diag(lengths), atol=1e-5)


@pytest.mark.parametrize("make", [gram_schmidt, lambda x: orthonormal(x)[0]])
def test_zeros_stay_zeros(make):
    np.testing.assert_array_equal(make(jnp.zeros((2, 9, 3))), 0)


def test_what_is_along_the_constant_vector_is_taken_away():
    constant = np.full(25, 0.2, np.float32)
    rest = without(constant, drawn(25))
    np.testing.assert_allclose(rest, drawn(25) - drawn(25).mean(axis=0), atol=1e-6)


def test_the_start_is_the_same_for_all_and_zero_without_neighbours():
    weights = np.ones((2, 20, 20), np.float32)
    weights[1, 5:], weights[1, :, 5:] = 0, 0
    graph = normalise(jnp.asarray(weights))
    vectors = np.asarray(start(graph, 3))
    np.testing.assert_array_equal(vectors[1, 5:], 0)
    for i in range(2):
        np.testing.assert_allclose(vectors[i].T @ vectors[i], np.eye(3), atol=1e-5)
        np.testing.assert_allclose(graph.constant[i] @ vectors[i], 0, atol=1e-6)
    np.testing.assert_allclose(start(normalise(graph.weights[0]), 3), vectors[0])


def test_eigenpairs_within_come_in_descending_order():
    matrix = drawn(5, 5)
    theta, weights = ritz(np.triu(matrix + matrix.T), 3)
    expected = np.linalg.eigvalsh(matrix + matrix.T)[::-1][:3]
    np.testing.assert_allclose(theta, expected, atol=1e-5)
    np.testing.assert_allclose(
        (matrix + matrix.T) @ weights, weights * theta, atol=1e-5
    )


def test_widths_are_rounded_up():
    assert [round_up(width) for width in (1, 8, 9)] == [8, 8, 16]
