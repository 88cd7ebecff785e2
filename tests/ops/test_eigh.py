"""Eigenpairs against NumPy's, never a batch at a time on a CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops.eigh import eigh


def symmetric(*shape):
    drawn = np.random.default_rng(0).normal(size=(*shape, shape[-1]))
    return (drawn + np.swapaxes(drawn, -1, -2)).astype(np.float32)


@pytest.mark.parametrize("shape", [(6,), (3, 6), (2, 3, 5), (0, 4)])
def test_values_and_vectors_are_numpys(shape):
    matrix = symmetric(*shape)
    values, vectors = jax.jit(eigh)(matrix)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix), atol=1e-4)
    np.testing.assert_allclose(
        matrix @ vectors, vectors * values[..., None, :], atol=1e-4
    )


def test_only_the_triangle_asked_for_is_read():
    matrix = symmetric(5)
    for triangle, part in (("U", np.triu), ("L", np.tril)):
        values, _ = eigh(part(matrix), triangle=triangle)
        np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix), atol=1e-4)


def test_mapped_over_any_axes_it_is_the_same():
    matrix = symmetric(2, 3, 5)
    values, vectors = jax.vmap(jax.vmap(eigh))(matrix)
    np.testing.assert_array_equal(values, eigh(matrix)[0])
    np.testing.assert_array_equal(vectors, eigh(matrix)[1])


def test_a_cpu_is_never_given_a_batch():
    text = jax.jit(jax.vmap(eigh)).lower(symmetric(4, 7)).as_text()
    (call,) = [line for line in text.splitlines() if "lapack_ssyevd" in line]
    assert "tensor<7x7xf32>" in call and "tensor<4x7x7xf32>" not in call


def test_independent_batches_come_to_an_end():
    """With `jnp.linalg.eigh` in its place this hangs at once on two cores."""

    def branch(x):
        y = x
        for _ in range(3):
            y = y @ x * 0.02
        part = y[..., :48, :48]
        values, vectors = eigh(part + jnp.swapaxes(part, -1, -2))
        return jnp.sum(values) + jnp.sum(y[..., :48] @ vectors)

    inputs = [symmetric(4, 300) * (i + 1) for i in range(4)]
    step = jax.jit(lambda *arrays: [branch(x) for x in arrays])
    for _ in range(5):
        assert np.isfinite(jax.device_get(step(*inputs))).all()
