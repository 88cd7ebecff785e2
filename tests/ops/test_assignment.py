import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg.ops.assignment import assign

optimize = pytest.importorskip("scipy.optimize")


def costs(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def by_scipy(cost, num_rows):
    columns = np.full(len(cost), -1)
    rows, found = optimize.linear_sum_assignment(cost[:num_rows])
    columns[rows] = found
    return columns


@pytest.mark.parametrize(
    "shape", [(1, 1), (4, 9), (9, 9), (12, 7), (19, 100), (150, 100)]
)
def test_columns_are_those_of_scipy(shape):
    cost = costs(3, *shape)
    for num_rows in {1, shape[0] // 2, shape[0]} - {0}:
        ours = jax.jit(jax.vmap(assign, in_axes=(0, None)))(cost, num_rows)
        wanted = [by_scipy(one, num_rows) for one in cost]
        np.testing.assert_array_equal(ours, wanted)


def test_examples_of_a_batch_have_row_counts_of_their_own():
    cost, counts = costs(6, 8, 10), jnp.arange(3, 9)
    ours = jax.jit(jax.vmap(assign))(cost, counts)
    wanted = [by_scipy(one, count) for one, count in zip(cost, counts, strict=True)]
    np.testing.assert_array_equal(ours, wanted)
    np.testing.assert_array_equal(ours[1], assign(cost[1], counts[1]))


def test_no_row_at_all():
    np.testing.assert_array_equal(assign(costs(3, 4), 0), [-1, -1, -1])


def test_ties_cost_as_little_as_optax_finds():
    cost = np.random.default_rng(1).integers(0, 4, (30, 30)).astype(np.float32)
    columns = assign(cost, 30)
    assert sorted(np.asarray(columns)) == list(range(30))
    i, j = optax.assignment.hungarian_algorithm(jnp.asarray(cost))
    assert cost[np.arange(30), columns].sum() == cost[i, j].sum()


def test_costs_that_are_no_numbers_are_avoided():
    cost = costs(3, 4)
    cost[0, :3] = np.nan
    cost[1, 3] = np.inf
    columns = np.asarray(assign(cost, 3))
    assert columns[0] == 3
    assert len(set(columns)) == 3


def test_all_costs_equal_ends():
    assert sorted(np.asarray(assign(jnp.zeros((5, 5)), 5))) == list(range(5))
