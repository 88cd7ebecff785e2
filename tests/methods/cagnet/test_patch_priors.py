import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxseg.methods.cagnet import layouts, patch_priors, patches

KEY = jax.random.key(0)
UNSEEN = (1, 4, 6)
SEEN = (0, 2, 3, 5, 7)
PRIOR = jnp.log(jnp.asarray([1.0, 5, 1, 1, 5, 1, 5, 1]) / 20)
NUM = 4000


@functools.cache
def table():
    blocks = np.random.default_rng(0).integers(0, 4, (2, 15, 15))
    labels = jnp.asarray(np.kron(blocks, np.ones((1, 4, 4), int)))
    remember = jax.jit(layouts.remember, static_argnames="num_new")
    return remember(layouts.empty_layouts(300, 3), labels, KEY, num_new=300)


EMPIRICAL = jax.jit(patch_priors.empirical, static_argnames=("unseen", "num_patches"))


@functools.cache
def drawn():
    return np.asarray(EMPIRICAL(KEY, PRIOR, table(), unseen=UNSEEN, num_patches=NUM))


def test_pure_patches_have_one_class_of_the_prior():
    pure = patch_priors.pure(KEY, PRIOR, num_patches=NUM, side=3)
    assert pure.shape == (NUM, 3, 3) and pure.dtype == jnp.int32
    assert jnp.all(patches.num_distinct(pure) == 1)
    counts = np.bincount(pure[:, 0, 0], minlength=8)
    expected = NUM * np.exp(np.asarray(PRIOR, np.float64))
    expected *= NUM / expected.sum()
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3


def test_the_largest_part_is_unseen():
    assert np.isin(patches.largest_class(jnp.asarray(drawn())), UNSEEN).all()


def test_there_are_at_most_three_classes():
    num = np.asarray(patches.num_distinct(jnp.asarray(drawn())))
    assert set(num.tolist()) == {1, 2, 3}


def test_drawn_patches_have_the_layouts_of_the_pictures():
    known = {bytes(parts) for parts in np.asarray(table().parts[: int(table().fill)])}
    of_drawn = np.asarray(layouts.partition(jnp.asarray(drawn())))
    assert {bytes(parts) for parts in of_drawn} == known


def test_layouts_keep_their_frequencies():
    parts = np.asarray(table().parts[: int(table().fill)])
    share = np.mean(parts.max(axis=(1, 2)) == 1)
    ours = np.mean(patches.num_distinct(jnp.asarray(drawn())) == 2)
    assert abs(ours - share) < 4 * np.sqrt(share * (1 - share) / NUM)


def test_seen_and_unseen_classes_have_the_priors_ratios():
    largest = np.asarray(patches.largest_class(jnp.asarray(drawn())))
    counts = np.bincount(largest, minlength=8)
    assert scipy.stats.chisquare(counts[list(UNSEEN)]).pvalue > 1e-3
    others = drawn()[drawn() != largest[:, None, None]]
    assert set(others.tolist()) == set(range(8))


def test_before_any_layout_patches_are_pure():
    found = EMPIRICAL(
        KEY, PRIOR, layouts.empty_layouts(5, 3), unseen=UNSEEN, num_patches=500
    )
    assert jnp.all(patches.num_distinct(found) == 1)
    assert set(np.unique(found).tolist()) == {*SEEN, *UNSEEN}


def test_a_single_unseen_class_fills_all_parts_where_nothing_else_may():
    prior = jnp.asarray([-jnp.inf, 0.0])
    found = patch_priors.empirical(KEY, prior, table(), unseen=(1,), num_patches=50)
    assert jnp.all(found == 1)


def test_a_share_of_patches_is_replaced():
    zeros, ones = jnp.zeros((NUM, 3, 3)), jnp.ones((NUM, 3, 3))
    mixed = np.asarray(patch_priors.mix(KEY, zeros, ones, 0.1))
    assert set(mixed.mean(axis=(1, 2)).tolist()) == {0.0, 1.0}
    assert abs(mixed.mean() - 0.1) < 4 * np.sqrt(0.09 / NUM)


def test_a_prior_changes_without_compiling_again():
    traces = []

    @jax.jit
    def draw(prior):
        traces.append(prior)
        return patch_priors.empirical(
            KEY, prior, table(), unseen=UNSEEN, num_patches=500
        )

    only_six = jnp.where(jnp.arange(8) == 6, jnp.float32(0), -jnp.inf)
    assert set(np.unique(draw(PRIOR)).tolist()) == set(range(8))
    assert jnp.all(draw(only_six) == 6) and len(traces) == 1


def test_without_unseen_classes_nothing_is_drawn():
    with pytest.raises(ValueError, match="there are none"):
        patch_priors.empirical(KEY, PRIOR, table(), unseen=(), num_patches=5)
