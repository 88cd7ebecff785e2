import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.transformer import Attention, Block
from tests.models.fill import filled

TOKENS = np.random.default_rng(0).normal(size=(2, 5, 12)).astype(np.float32)
# Drops nothing, but takes the way of those that do.
HARDLY = 1e-9


def run(module, variables, *, train=True, key=0):
    @functools.partial(jax.jit, static_argnums=2)
    def apply(variables, key, train):
        return module.apply(variables, TOKENS, train, rngs={"dropout": key})

    return apply(variables, jax.random.key(key), train)


@pytest.mark.parametrize("is_causal", [False, True])
def test_dropping_no_attention_is_attention(is_causal):
    attention = functools.partial(Attention, 3, is_causal=is_causal)
    variables = filled(attention(), TOKENS)
    ours = run(attention(dropout=HARDLY), variables)
    np.testing.assert_allclose(ours, run(attention(), variables), atol=1e-5)


def test_dropout_keeps_the_mean_and_evaluation():
    variables = filled(Attention(3), TOKENS)
    plain = run(Attention(3), variables)
    dropping = Attention(3, dropout=0.5)
    np.testing.assert_allclose(run(dropping, variables, train=False), plain, atol=1e-6)

    @jax.jit
    @jax.vmap
    def draw(key):
        return dropping.apply(variables, TOKENS, True, rngs={"dropout": key})

    draws = draw(jax.random.split(jax.random.key(0), 4096))
    spread = np.std(draws, axis=0) / 64
    assert np.all(spread > 0)
    assert np.all(np.abs(np.mean(draws, axis=0) - plain) < 5 * spread)


def test_dropout_reaches_both_branches_of_a_block():
    """With one of them silent, what two keys change is within the other."""
    variables = filled(Block(3, dropout=0.5), TOKENS, train=False)
    params = variables["params"]
    for name in ("attention", "mlp"):
        silent = params | {name: jax.tree.map(jnp.zeros_like, params[name])}
        one, other = (
            run(Block(3, dropout=0.5), {"params": silent}, key=key) for key in range(2)
        )
        assert np.max(np.abs(one - other)) > 0.01
