import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.layers import Conv, ConvNorm, join_stages
from tests.models.fill import filled

DENSE = dict(kernel_size=3, strides=2)
DEPTHWISE = dict(kernel_size=3, groups=6)
POINTWISE = dict(kernel_size=1, strides=2)
ATROUS = dict(kernel_size=3, dilation=2)
GROUPED = dict(kernel_size=3, groups=2)


def image(d=6):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(2, 8, 9, d)), jnp.float32)


@pytest.mark.parametrize("fields", [DENSE, DEPTHWISE, POINTWISE, ATROUS, GROUPED])
@pytest.mark.parametrize("padding", ["SAME", ((0, 0), (0, 0))])
def test_equals_the_linen_layer_with_the_same_parameters(fields, padding):
    ours = Conv(6, **fields, padding=padding, use_bias=True)
    theirs = nn.Conv(
        6,
        (fields["kernel_size"],) * 2,
        strides=fields.get("strides", 1),
        kernel_dilation=fields.get("dilation", 1),
        feature_group_count=fields.get("groups", 1),
        padding=padding,
    )
    variables = filled(theirs, image())
    np.testing.assert_allclose(
        ours.apply(variables, image()), theirs.apply(variables, image()), atol=1e-5
    )


@pytest.mark.parametrize("fields", [DENSE, DEPTHWISE, POINTWISE])
def test_has_the_parameters_of_the_linen_layer(fields):
    ours = filled(Conv(6, **fields, use_bias=True), image())
    theirs = nn.Conv(
        6, (fields["kernel_size"],) * 2, feature_group_count=fields.get("groups", 1)
    )
    assert jax.tree.map(jnp.shape, ours) == jax.tree.map(
        jnp.shape, filled(theirs, image())
    )


def test_channels_that_do_not_split_are_named():
    with pytest.raises(ValueError, match="6 -> 8 channels do not split into 4"):
        Conv(8, 3, groups=4).init(jax.random.key(0), image())


def test_training_normalises_by_the_batch():
    layer = ConvNorm(4, 3, activation=None)
    variables = filled(layer, image(), train=False)
    y, changed = layer.apply(variables, image(), train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.var((0, 1, 2)), 1, atol=1e-3)
    convolved = Conv(4, 3).apply({"params": variables["params"]["conv"]}, image())
    np.testing.assert_allclose(
        changed["batch_stats"]["norm"]["mean"],
        0.1 * convolved.mean((0, 1, 2)),
        atol=1e-5,
    )


def test_variance_survives_a_large_mean():
    layer = ConvNorm(6, activation=None)
    variables = filled(layer, image(), train=False)
    variables["params"]["conv"]["kernel"] = jnp.eye(6)[None, None]
    x = 300 + 0.1 * image()
    _, changed = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    wanted = 0.9 + 0.1 * np.var(np.asarray(x, np.float64), axis=(0, 1, 2))
    np.testing.assert_allclose(changed["batch_stats"]["norm"]["var"], wanted, rtol=1e-6)


def test_half_precision_keeps_parameters_and_statistics_whole():
    layer = ConvNorm(4, 3, dtype="bfloat16")
    variables = filled(layer, image(), train=False)
    y, changed = layer.apply(variables, image(), train=True, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    leaves = jax.tree.leaves((variables, changed))
    assert {str(leaf.dtype) for leaf in leaves} == {"float32"}


def test_a_bias_before_the_normalisation_is_taken_away_in_training():
    layer = ConvNorm(4, 3, use_bias=True)
    variables = filled(layer, image(), train=False)

    def run(bias):
        variables["params"]["conv"]["bias"] = jnp.full(4, bias)
        y, _ = layer.apply(variables, image(), train=True, mutable=["batch_stats"])
        return y

    np.testing.assert_allclose(run(3.0), run(0.0), atol=1e-5)
    evaluated = layer.apply(variables, image(), train=False)
    variables["params"]["conv"]["bias"] = jnp.full(4, 3.0)
    assert not np.allclose(evaluated, layer.apply(variables, image(), train=False))


def test_joined_stages_are_enlarged_with_aligned_corners(torch):
    stages = [np.zeros((1, 1, 1, 9)), image(2), image(3)[:, :5, :4]]
    joined = join_stages(stages, (-2, -1))
    enlarged = torch.nn.functional.interpolate(
        torch.tensor(np.moveaxis(stages[-1], -1, 1)),
        (8, 9),
        mode="bilinear",
        align_corners=True,
    )
    np.testing.assert_array_equal(joined[..., :2], stages[1])
    np.testing.assert_allclose(
        joined[..., 2:], np.moveaxis(enlarged.numpy(), 1, -1), atol=1e-6
    )


def test_a_single_stage_is_joined_untouched():
    stages = [image(2), image(3)]
    assert join_stages(stages, (-1,)) is stages[1]
