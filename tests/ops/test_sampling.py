import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxseg.ops.sampling import smallest_in_groups

FORMULATIONS = pytest.mark.parametrize("formulation", ["select", "sort"])


def reference(groups, priority, num_groups, num_picks):
    """Row by row and group by group; Python's sort keeps the order of equal ones."""
    picks = np.full((len(groups), num_groups, num_picks), -1)
    for b, k in np.ndindex(picks.shape[:2]):
        members = [i for i in range(groups.shape[1]) if groups[b, i] == k]
        members = sorted(members, key=lambda i: priority[b, i])[:num_picks]
        picks[b, k, : len(members)] = members
    return picks


@FORMULATIONS
@pytest.mark.parametrize("num_picks", [1, 4, 60])
def test_equals_a_loop_with_ids_outside_and_ties(formulation, num_picks):
    rng = np.random.default_rng(num_picks)
    groups = rng.integers(-2, 9, (3, 40))  # of which 0 to 5 are groups
    groups[:, groups[0] == 3] = 7  # an empty group, at least in the first row
    priority = rng.integers(0, 6, groups.shape).astype(np.float32) / 8
    found = smallest_in_groups(
        jnp.asarray(groups),
        jnp.asarray(priority),
        num_groups=6,
        num_picks=num_picks,
        formulation=formulation,
    )
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, reference(groups, priority, 6, num_picks))


@FORMULATIONS
def test_of_equal_priorities_the_first_in_the_row_come_first(formulation):
    groups = jnp.asarray([[1, 0, 1, 1, 0, 5]])
    options = dict(num_groups=3, num_picks=3, formulation=formulation)
    found = smallest_in_groups(groups, jnp.full((1, 6), 0.5), **options)
    np.testing.assert_array_equal(found, [[[1, 4, -1], [0, 2, 3], [-1, -1, -1]]])


@FORMULATIONS
def test_jit_equals_eager(formulation):
    rng = np.random.default_rng(0)
    groups = jnp.asarray(rng.integers(0, 4, (2, 30)))
    priority = jnp.asarray(rng.random((2, 30)), jnp.float32)
    options = dict(num_groups=4, num_picks=5, formulation=formulation)
    find = functools.partial(smallest_in_groups, **options)
    np.testing.assert_array_equal(
        jax.jit(find)(groups, priority), find(groups, priority)
    )


@FORMULATIONS
def test_any_integer_type_of_ids_will_do(formulation):
    groups = np.asarray([[0, 255, 2, 0]])
    priority = jnp.asarray([[0.3, 0.1, 0.2, 0.0]])
    options = dict(num_groups=3, num_picks=2, formulation=formulation)
    found = smallest_in_groups(jnp.asarray(groups, jnp.uint8), priority, **options)
    np.testing.assert_array_equal(found, [[[3, 0], [-1, -1], [2, -1]]])


@FORMULATIONS
def test_every_rank_is_drawn_uniformly_from_the_group(formulation):
    rows, members = 4000, np.asarray([1, 2, 5, 7, 8, 11])
    groups = jnp.zeros((rows, 12), jnp.int32).at[:, members].set(1)
    priority = jax.random.uniform(jax.random.key(7), groups.shape)
    options = dict(num_groups=2, num_picks=3, formulation=formulation)
    drawn = np.asarray(smallest_in_groups(groups, priority, **options))[:, 1]
    for rank in range(3):
        count = np.bincount(drawn[:, rank], minlength=12)
        assert count.sum() == count[members].sum() == rows
        assert scipy.stats.chisquare(count[members]).pvalue > 0.01
