"""The contextual module: what a pixel's code knows of its surroundings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.heads.context import ContextHead, ContextModule
from jaxseg.models.heads.identity import Identity

SIDE = 21
KEY = jax.random.key(0)
H = jax.random.normal(KEY, (1, SIDE, SIDE, 4))
SMALL = H[:, :6, :5]


def make(h=SMALL, **options):
    module = ContextModule(width=4, **options)
    return module, module.init(KEY, h, None)


def reach(of_context):
    """The side of the window of inputs that the middle pixel's values depend on."""
    module, variables = make(H)

    def middle(h):
        values = of_context(module.apply(variables, h, None))
        return jnp.sum(values[0, SIDE // 2, SIDE // 2] ** 2)

    # Several inputs: a ReLU may close a way for one of them.
    inputs = jax.random.normal(KEY, (6, *H.shape))
    touched = jnp.any(jax.lax.map(jax.grad(middle), inputs) != 0, axis=(0, 1, -1))
    rows, columns = np.nonzero(np.asarray(touched))
    assert rows.min() + rows.max() == columns.min() + columns.max() == SIDE - 1
    return 1 + rows.max() - rows.min(), 1 + columns.max() - columns.min()


@pytest.mark.parametrize("index, side", [(0, 3), (1, 7), (2, 17)])
def test_scales_see_three_seven_and_seventeen_pixels(index, side):
    assert reach(lambda context: context.scales[index]) == (side, side)


def test_features_are_in_the_unit_interval_and_made_of_h_and_code():
    module, variables = make()
    context = module.apply(variables, SMALL, None)
    sigmoid = jax.nn.sigmoid
    wanted = sigmoid(SMALL + SMALL * sigmoid(context.latent))
    np.testing.assert_allclose(context.features, wanted, rtol=1e-6)
    assert ((context.features > 0) & (context.features < 1)).all()


def test_prediction_takes_the_mean_code_and_noise_draws_one():
    module, variables = make()
    noise = jax.random.normal(KEY, SMALL.shape)
    mean, drawn = (module.apply(variables, SMALL, n) for n in (None, noise))
    np.testing.assert_array_equal(mean.latent, mean.mean)
    np.testing.assert_allclose(
        drawn.latent, mean.mean + noise * jnp.exp(mean.log_variance) ** 0.5, rtol=1e-5
    )


def test_weights_need_not_sum_to_one_and_learn():
    module, variables = make()

    def loss(variables):
        return jnp.sum(module.apply(variables, SMALL, None).features)

    weights = module.apply(variables, SMALL, None).scale_weights
    assert weights.shape == (1, 6, 5, 3)
    assert ((weights > 0) & (weights < 1)).all() and (weights < 0.5).any()
    assert (jnp.abs(jnp.sum(weights, -1) - 1) > 0.01).any()
    gradient = jax.grad(loss)(variables)["params"]["selector"]["kernel"]
    assert (gradient != 0).any()


def test_without_a_selector_all_scales_count_alike():
    module, variables = make(selector=False)
    assert "selector" not in variables["params"]
    assert (module.apply(variables, SMALL, None).scale_weights == 1).all()


def test_the_releases_relus_bound_weights_and_variance():
    free, variables = make()
    bound = free.copy(parity_relu=True)
    loose, tight = (m.apply(variables, SMALL, None) for m in (free, bound))
    assert (tight.scale_weights >= 0.5).all() and (tight.log_variance >= 0).all()
    assert (loose.log_variance < 0).any()
    changed = tight.scale_weights > 0.5
    np.testing.assert_array_equal(
        tight.scale_weights[changed], loose.scale_weights[changed]
    )


def test_without_context_a_pixel_knows_itself_only():
    module, variables = make(kind="none")
    order = np.random.default_rng(0).permutation(30)

    def shuffled(x):
        return x.reshape(1, 30, -1)[:, order].reshape(x.shape)

    context = module.apply(variables, SMALL, None)
    moved = module.apply(variables, shuffled(SMALL), None)
    for name in ("features", "mean", "log_variance", "scale_weights"):
        np.testing.assert_allclose(
            getattr(moved, name), shuffled(getattr(context, name)), atol=1e-6
        )


def test_with_context_it_does_not():
    module, variables = make()
    other = SMALL.at[0, 0, 0].add(1.0)
    one, two = (module.apply(variables, x, None).mean for x in (SMALL, other))
    assert (one[0, 1, 1] != two[0, 1, 1]).any()


def test_bfloat16_computes_and_codes_are_float32():
    module, variables = make()
    half = module.copy(dtype="bfloat16").apply(variables, SMALL, None)
    full = module.apply(variables, SMALL, None)
    for name in ("features", "latent", "mean", "log_variance", "scale_weights"):
        assert getattr(half, name).dtype == jnp.float32
    np.testing.assert_allclose(half.features, full.features, atol=0.03)


def test_a_head_gives_the_features_of_the_mean_codes():
    head = ContextHead(head=Identity(), context=ContextModule(width=4))
    variables = head.init(KEY, (SMALL,), train=False)
    found = head.apply(variables, (SMALL,), train=False)
    described = head.apply(
        variables, (SMALL,), None, train=False, method=ContextHead.describe
    )
    np.testing.assert_array_equal(found, described.features)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="got 'wide'"):
        make(kind="wide")
