import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.heads.image_pooling import ImagePooling
from tests.models.fill import filled, num_parameters

STAGE = np.random.default_rng(0).normal(size=(2, 5, 7, 12)).astype(np.float32)


def run(head, variables, stage, **options):
    return jax.jit(lambda x: head.apply(variables, (x,), train=False, **options))(stage)


def test_features_are_those_worked_out_by_hand():
    head = ImagePooling(features=6)
    variables = filled(head, (STAGE,), train=False)

    def layer(x, name):
        kernel = np.asarray(variables["params"][name]["conv"]["kernel"][0, 0])
        return np.maximum(x @ kernel / np.sqrt(1 + 1e-5), 0)

    pooled = layer(STAGE.mean((1, 2), keepdims=True), "pool")
    both = np.concatenate(
        [np.broadcast_to(pooled, (2, 5, 7, 6)), layer(STAGE, "point")], axis=-1
    )
    np.testing.assert_allclose(
        run(head, variables, STAGE), layer(both, "project"), atol=1e-5
    )


def test_parameter_count_is_that_of_the_published_head():
    stages = (jnp.zeros((1, 2, 2, 320)),)
    kernels = 2 * 320 * 256 + 512 * 256
    assert num_parameters(ImagePooling(), stages) == kernels + 3 * 2 * 256


def test_every_pixel_sees_the_whole_picture():
    head = ImagePooling(features=6)
    variables = filled(head, (STAGE,), train=False)
    gradient = jax.jit(
        jax.grad(lambda x: jnp.sum(head.apply(variables, (x,), train=False)[0, 0, 0]))
    )(STAGE)
    assert jnp.any(gradient[0] != 0, axis=-1).all() and not jnp.any(gradient[1])


def test_dropout_blanks_channels_of_whole_pictures_in_training_only():
    head = ImagePooling(features=64, dropout=0.5)
    variables = filled(head, (STAGE,), train=False)
    features, _ = head.apply(
        variables,
        (STAGE,),
        train=True,
        rngs={"dropout": jax.random.key(0)},
        mutable=["batch_stats"],
    )
    seen = jnp.any(features != 0, axis=(1, 2))  # [B, D]
    kept, _ = ImagePooling(features=64).apply(
        variables, (STAGE,), train=True, mutable=["batch_stats"]
    )
    alive = jnp.any(kept != 0, axis=(1, 2))
    assert 0.3 < (seen.sum() / alive.sum()) < 0.7
    np.testing.assert_allclose(
        features, jnp.where(seen[:, None, None], 2 * kept, 0), rtol=1e-5
    )
    again = run(head, variables, STAGE)
    np.testing.assert_array_equal(
        run(ImagePooling(features=64), variables, STAGE), again
    )


def test_half_precision_keeps_parameters():
    head = ImagePooling(features=6, dtype="bfloat16")
    variables = filled(head, (STAGE,), train=False)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(variables)} == {"float32"}
    exact = run(ImagePooling(features=6), variables, STAGE)
    features = run(head, variables, STAGE)
    assert features.dtype == jnp.bfloat16
    assert jnp.abs(features - exact).max() < 0.05 * jnp.abs(exact).max()
