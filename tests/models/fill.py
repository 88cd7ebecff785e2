"""Variables without compiling an initialiser: shapes from tracing, values by NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def filled(module, *args, seed=0, **kwargs):
    """Like module.init, with unit normalisations and kernels that keep the variance."""
    init = functools.partial(module.init, **kwargs)
    shapes = jax.eval_shape(init, jax.random.key(0), *args)
    rng = np.random.default_rng(seed)

    def leaf(path, shape):
        if path[-1].key in ("scale", "var"):
            return jnp.ones(shape.shape, shape.dtype)
        if path[-1].key in ("bias", "mean"):
            return jnp.zeros(shape.shape, shape.dtype)
        fan_in = max(int(np.prod(shape.shape[:-1])), 1)
        values = rng.normal(size=shape.shape) * (2 / fan_in) ** 0.5
        return jnp.asarray(values, shape.dtype)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def stage_shapes(backbone, shape):
    """The shapes and dtypes of a backbone's stages, without computing anything."""
    image = jnp.zeros(shape)
    stages, _ = jax.eval_shape(
        lambda: backbone.init_with_output(jax.random.key(0), image, train=False)
    )
    return [stage.shape for stage in stages], {str(stage.dtype) for stage in stages}


def shapes_of(module, inputs):
    """The shapes and dtypes of a module's variables, without computing anything."""
    init = functools.partial(module.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), inputs)


def num_parameters(module, inputs=None):
    """How many trainable numbers a network has, or a head given its stages."""
    inputs = jnp.zeros((1, 64, 64, 3)) if inputs is None else inputs
    params = shapes_of(module, inputs)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def same_shapes(a, b):
    """Whether two trees have the same entries, of the same shapes."""
    return jax.tree.map(np.shape, a) == jax.tree.map(np.shape, b)
