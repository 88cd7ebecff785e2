"""Unit vectors for tests of the contrast."""

import jax
import jax.numpy as jnp
import numpy as np


def unit(array):
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def random_unit(rng: np.random.Generator, *shape: int) -> jax.Array:
    """Float32 vectors of length one, in directions that are equally likely."""
    return jnp.asarray(unit(rng.normal(size=shape)), jnp.float32)
