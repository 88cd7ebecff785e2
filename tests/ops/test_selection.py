import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops.selection import kth_largest, nth_true


def rows_of(case):
    """Values [5, 77] float32."""
    values = np.random.default_rng(0).normal(size=(5, 77)).astype(np.float32)
    if case == "ties":
        values = np.round(values)
    elif case == "extremes":
        values = values * np.float32(8e37)
        values[:, ::7], values[:, 1::7] = np.inf, -np.inf
    elif case == "tiny":
        values *= np.float32(1e-30)
    elif case == "zeros":
        values = np.sign(values) * np.float32(0)
    return values


@pytest.mark.parametrize("case", ["random", "ties", "extremes", "tiny", "zeros"])
@pytest.mark.parametrize("function", [kth_largest, jax.jit(kth_largest)])
def test_kth_largest_is_that_of_a_sort(case, function):
    values = rows_of(case)
    k = np.asarray([1, 2, 40, 76, 77])
    expected = -np.sort(-values, axis=1)[np.arange(5), k - 1]
    np.testing.assert_array_equal(function(jnp.asarray(values), k), expected)


def test_more_than_there_are_takes_all_and_none_takes_none():
    values = jnp.asarray(rows_of("random"))
    threshold = kth_largest(values, jnp.asarray([0, -3, 78, 1000, 77]))
    above = np.sum(values >= threshold[:, None], axis=1)
    np.testing.assert_array_equal(above, [0, 0, 77, 77, 77])


@pytest.mark.parametrize("length", [1, 31, 32, 33, 1000])
@pytest.mark.parametrize("function", [nth_true, jax.jit(nth_true)])
def test_nth_true_is_that_of_a_list(length, function):
    rng = np.random.default_rng(1)
    mask = rng.random((3, 2, length)) < rng.random((3, 2, 1))
    mask[..., -1] = True
    ranks = np.floor(rng.random((3, 2, 50)) * mask.sum(-1, keepdims=True))
    ranks = ranks.astype(np.int32)
    found = np.asarray(function(jnp.asarray(mask), jnp.asarray(ranks)))
    for at in np.ndindex(3, 2):
        np.testing.assert_array_equal(found[at], np.flatnonzero(mask[at])[ranks[at]])


def test_a_rank_that_is_not_there_stays_inside_the_row():
    mask = jnp.zeros((2, 40), bool).at[0, 3].set(True)
    found = nth_true(mask, jnp.asarray([[0, 1, 5], [0, 1, 99]]))
    assert found[0, 0] == 3
    assert np.all((found >= 0) & (found < 40))
