"""Facts about a backbone's gradients, asserted of any."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from tests.models.fill import filled, same_shapes


def loss_and_gradients(backbone, variables, image):
    """Of the squares of all stages in training mode."""

    def loss(params):
        state = {**variables, "params": params}
        stages, _ = backbone.apply(state, image, train=True, mutable=["batch_stats"])
        return sum(jnp.mean(stage.astype(jnp.float32) ** 2) for stage in stages)

    return jax.jit(jax.value_and_grad(loss))(variables["params"])


def assert_gradients_survive_remat(backbone, image):
    """Every parameter has one, finite and not zero, and `remat` changes none."""
    variables = filled(backbone, image, train=False)
    saving = backbone.clone(remat=True)
    assert same_shapes(variables, filled(saving, image, train=False))
    loss, gradients = loss_and_gradients(backbone, variables, image)
    again, gradients_again = loss_and_gradients(saving, variables, image)
    np.testing.assert_allclose(again, loss, rtol=1e-5)
    for leaf in jax.tree.leaves(gradients):
        assert jnp.isfinite(leaf).all() and jnp.any(leaf != 0)
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradients))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5 * scale)
    jax.tree.map(close, gradients_again, gradients)


def assert_half_precision_is_near(backbone, image):
    """Stages in bfloat16 are near those in float32; parameters stay float32."""
    half = backbone.clone(dtype="bfloat16")
    variables = filled(half, image, train=False)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(variables)} == {"float32"}
    exact = jax.jit(lambda x: backbone.apply(variables, x, train=False))(image)
    stages = jax.jit(lambda x: half.apply(variables, x, train=False))(image)
    for stage, truth in zip(stages, exact, strict=True):
        assert stage.dtype == jnp.bfloat16
        assert jnp.abs(stage - truth).max() < 0.05 * jnp.abs(truth).max()
