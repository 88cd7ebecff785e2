import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.models.dropout import Dropout

ROWS = jnp.ones((8, 40))


def apply(layer, **options):
    return layer.apply({}, ROWS, rngs={"dropout": jax.random.key(0)}, **options)


def test_nothing_is_dropped_in_evaluation():
    assert jnp.all(Dropout(0.5).apply({}, ROWS, deterministic=True) == ROWS)


def test_a_layer_draws_with_the_key_of_its_place():
    class Two(nn.Module):
        @nn.compact
        def __call__(self, x, **options):
            return [Dropout(0.5)(x, **options) for _ in range(2)]

    first, second = apply(Two(), deterministic=False)
    assert jnp.any(first != second)
    again, _ = apply(Two(), deterministic=False)
    assert jnp.all(first == again)


def test_half_is_dropped_in_training():
    dropped = apply(Dropout(0.5), deterministic=False)
    assert 100 < jnp.sum(dropped == 0) < 220
    assert set(jnp.unique(dropped).tolist()) == {0.0, 2.0}
