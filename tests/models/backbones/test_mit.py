import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.mit import MiT
from tests.models.fill import filled, shapes_of, stage_shapes

TINY = MiT(widths=(8, 8, 16, 16), depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2))


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(2, 33, 40, 3)), jnp.float32)


@pytest.fixture(scope="module")
def variables(image):
    return filled(TINY, image, train=False)


def loss_and_gradients(backbone, variables, image):
    def loss(params):
        rngs = {"dropout": jax.random.key(1)}
        stages = backbone.apply({"params": params}, image, train=True, rngs=rngs)
        return sum(jnp.mean(stage**2) for stage in stages)

    return jax.jit(jax.value_and_grad(loss))(variables["params"])


def test_stages_are_at_strides_4_to_32():
    shapes, _ = stage_shapes(MiT(), (2, 64, 96, 3))
    assert shapes == [(2, 16, 24, 32), (2, 8, 12, 64), (2, 4, 6, 160), (2, 2, 3, 256)]


def test_odd_sizes_round_up():
    shapes, _ = stage_shapes(MiT(), (1, 65, 97, 3))
    assert [shape[1:3] for shape in shapes] == [(17, 25), (9, 13), (5, 7), (3, 4)]


def test_an_image_without_a_window_for_keys_is_named():
    with pytest.raises(ValueError, match="7x16 has no window of 8x8"):
        stage_shapes(MiT(), (1, 28, 64, 3))


def test_half_precision_reaches_the_stages_and_not_the_parameters(image):
    _, dtypes = stage_shapes(MiT(dtype="bfloat16"), (1, 32, 32, 3))
    assert dtypes == {"bfloat16"}
    params = shapes_of(MiT(dtype="bfloat16"), image)["params"]
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


@pytest.mark.slow
def test_recomputing_blocks_changes_nothing(image, variables):
    """Drop path included: the same branches fall out."""
    remat = TINY.clone(remat=True)
    assert jax.tree.structure(shapes_of(remat, image)) == jax.tree.structure(variables)
    plain = loss_and_gradients(TINY, variables, image)
    again = loss_and_gradients(remat, variables, image)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        plain,
        again,
    )
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(plain))


@pytest.mark.slow
def test_evaluation_needs_no_key_and_training_without_drop_path_neither(
    image, variables
):
    evaluated = TINY.apply(variables, image, train=False)
    trained = TINY.clone(drop_path=0.0).apply(variables, image, train=True)
    for a, b in zip(evaluated, trained, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_drop_path_grows_from_none_to_its_rate(image):
    rates = {}

    def record(next_function, args, kwargs, context):
        if context.method_name == "__call__" and "drop_path" in context.module.path:
            rates[context.module.path[0]] = context.module.rate
        return next_function(*args, **kwargs)

    with nn.intercept_methods(record):
        shapes_of(MiT(drop_path=0.7), image)
    np.testing.assert_allclose(list(rates.values()), np.arange(8) / 10)


@pytest.mark.slow
def test_examples_do_not_see_each_other(image, variables):
    both = TINY.apply(variables, image, train=False)
    alone = TINY.apply(variables, image[1:], train=False)
    for a, b in zip(both, alone, strict=True):
        np.testing.assert_allclose(a[1:], b, rtol=1e-4, atol=1e-5)
