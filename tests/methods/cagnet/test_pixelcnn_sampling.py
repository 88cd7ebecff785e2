import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxseg.methods.cagnet import patches
from jaxseg.methods.cagnet.pixelcnn import PixelCNN
from jaxseg.methods.cagnet.pixelcnn_sampling import sample

KEY = jax.random.key(0)
UNSEEN = (1, 5, 6)
MODEL = PixelCNN(width=4, depth=2, kernel_size=3)
TABLE = jnp.asarray(np.random.default_rng(0).normal(size=(8, 6)), jnp.float32)
IS_UNSEEN = jnp.isin(jnp.arange(8), jnp.asarray(UNSEEN))
SAMPLE = jax.jit(
    functools.partial(sample, model=MODEL, unseen=UNSEEN),
    static_argnames=(
        "num_patches",
        "oversampling",
        "min_unseen",
        "max_classes",
        "side",
    ),
)


@functools.cache
def variables(favourite=None):
    """A new network, or one that is sure of a class everywhere."""
    zeros = jnp.zeros((1, 3, 3), int)
    found = MODEL.init(KEY, zeros, zeros, TABLE, train=False)
    if favourite is not None:
        out = found["params"]["out"]
        found["params"]["out"] = out | {"bias": 100.0 * jax.nn.one_hot(favourite, 8)}
    return found


@functools.cache
def drawn():
    return SAMPLE(KEY, variables(), TABLE, num_patches=3000)


def test_patches_are_mostly_unseen_and_of_few_classes():
    acceptable = patches.is_acceptable(drawn(), IS_UNSEEN, min_unseen=7, max_classes=3)
    assert drawn().shape == (3000, 3, 3) and jnp.all(acceptable)
    assert set(np.unique(patches.num_distinct(drawn())).tolist()) == {1, 2, 3}


def test_the_first_five_labels_are_the_unseen_class():
    first = drawn().reshape(-1, 9)[:, :5]
    assert jnp.all(first == first[:, :1])
    counts = np.bincount(first[:, 0], minlength=8)
    assert counts.sum() == counts[list(UNSEEN)].sum()
    assert scipy.stats.chisquare(counts[list(UNSEEN)]).pvalue > 1e-3


def test_without_an_acceptable_candidate_patches_are_pure():
    certain = SAMPLE(KEY, variables(favourite=0), TABLE, num_patches=200)
    assert jnp.all(patches.num_distinct(certain) == 1)
    assert jnp.all(IS_UNSEEN[certain])


def test_labels_are_drawn_by_the_networks_softmax():
    options = dict(oversampling=1, min_unseen=0, max_classes=9)
    found = SAMPLE(KEY, variables(), TABLE, num_patches=3000, **options)
    of_one = found[found[:, 0, 0] == 5]
    start = jnp.full((1, 3, 3), 5)
    condition = jnp.full((1, 1, 1), 5)
    logits = MODEL.apply(variables(), start, condition, TABLE, train=False)
    share = np.asarray(jax.nn.softmax(logits[0, 1, 2]), np.float64)
    counts = np.bincount(of_one[:, 1, 2], minlength=8)
    expected = share / share.sum() * len(of_one)
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3


def test_larger_patches_have_as_large_a_share_of_unseen_pixels():
    found = SAMPLE(KEY, variables(), TABLE, num_patches=300, side=5)
    flat = found.reshape(300, 25)
    assert jnp.all(flat[:, :13] == flat[:, :1])
    assert jnp.all(jnp.sum(IS_UNSEEN[flat], axis=1) >= 20)


def test_another_key_draws_others():
    other = SAMPLE(jax.random.key(1), variables(), TABLE, num_patches=3000)
    assert not jnp.all(other == drawn())


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="cannot have 5 preset"):
        sample(
            KEY, {}, TABLE, model=MODEL, unseen=UNSEEN, num_patches=4, oversampling=0
        )
    with pytest.raises(ValueError, match="there are none"):
        sample(KEY, {}, TABLE, model=MODEL, unseen=(), num_patches=4)
