import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.inverse_transform import InverseTransform


def parameters(network):
    tiles = jax.ShapeDtypeStruct((1, network.tile, network.tile), jnp.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), tiles, tiles)
    return sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))


def test_both_sizes_have_as_many_parameters_as_they_should():
    ours = 6272 * 256 + 256 + 256 * 32 + 32 + 32 * 4 + 4
    assert parameters(InverseTransform()) == ours
    published = 100352 * 1000 + 1000 + 1000 * 32 + 32 + 32 * 4 + 4
    assert parameters(InverseTransform(tile=224, hidden=(1000, 32))) == published


def test_at_first_the_answer_is_almost_no_transform():
    network, rng = InverseTransform(tile=8), np.random.default_rng(0)
    pairs = rng.random((2, 50, 8, 8)) < 0.2
    predicted, true = jnp.asarray(pairs, jnp.float32)
    params = network.init(jax.random.key(0), predicted, true)["params"]
    theta = network.transforms(params, predicted, true)
    assert theta.shape == (50, 4) and theta.dtype == jnp.float32
    assert 0 < jnp.sqrt(jnp.mean(theta**2)) < 0.5
