"""Values are compared with torch in tests/pretrained/keymaps/test_deeplab.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.heads.deeplabv3 import ASPP, DeepLabV3
from jaxseg.models.layers import ConvNorm
from tests.models.fill import filled


def stages():
    rng = np.random.default_rng(0)
    shapes = [(2, 9, 11, 6), (2, 5, 6, 8)]
    return tuple(jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes)


def test_features_have_the_last_stages_size():
    head = DeepLabV3(features=4, rates=(1, 2))
    variables = filled(head, stages(), train=False)
    assert set(variables["params"]) == {"aspp"}
    assert set(variables["params"]["aspp"]) == {
        "point",
        "rate_0",
        "rate_1",
        "pool",
        "project",
    }
    assert head.apply(variables, stages(), train=False).shape == (2, 5, 6, 4)


@pytest.mark.parametrize("separable", [False, True])
def test_a_skipped_stage_sharpens_the_features(separable):
    head = DeepLabV3(
        features=4, rates=(2,), skip_stage=0, skip_features=3, separable=separable
    )
    variables = filled(head, stages(), train=False)
    run = jax.jit(lambda *stages: head.apply(variables, stages, train=False))
    shallow, deep = stages()
    features = run(shallow, deep)
    assert features.shape == (2, 9, 11, 4)
    assert not np.allclose(features, run(0 * shallow, deep))


def test_each_dropout_of_the_join_follows_a_convolution():
    head = DeepLabV3(4, rates=(2,), skip_stage=0, join_dropouts=(0.5, 0.0))
    variables = filled(head, stages(), train=False)
    assert set(variables["params"]) == {"aspp", "skip", "join", "join_1"}
    run = jax.jit(
        lambda key: head.apply(
            variables,
            stages(),
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )[0]
    )
    first, again, other = (run(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_dropout_blanks_half_of_the_pyramid():
    head = DeepLabV3(32, rates=(1,), dropout=0.5)
    variables = filled(head, stages(), train=False)
    plain, dropped = (
        DeepLabV3(32, rates=(1,), dropout=rate).apply(
            variables,
            stages(),
            train=True,
            rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats"],
        )[0]
        for rate in (0.0, 0.5)
    )
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], 2 * plain[kept], rtol=1e-5)
    assert 0.4 < np.mean(kept[plain != 0]) < 0.6


def test_separable_windows_have_few_parameters():
    variables = filled(
        ASPP(4, rates=(2,), separable=True), jnp.zeros((1, 5, 6, 8)), train=False
    )
    window = variables["params"]["rate_0"]
    assert window["window"]["conv"]["kernel"].shape == (3, 3, 1, 8)
    assert window["point"]["conv"]["kernel"].shape == (1, 1, 8, 4)


def test_the_pictures_mean_reaches_every_pixel():
    aspp = ASPP(4, rates=())
    x = stages()[1]
    variables = filled(aspp, x, train=False)
    variables["params"]["point"]["conv"]["kernel"] *= 0  # only the mean is left
    y = aspp.apply(variables, x, train=False)
    np.testing.assert_allclose(y, np.broadcast_to(y[:, :1, :1], y.shape), atol=1e-6)
    assert np.any(y > 0)


def test_refinement_may_end_in_a_relu():
    plain, rectified = (
        DeepLabV3(4, rates=(1,), refine=True, refine_relu=r) for r in (False, True)
    )
    variables = filled(plain, stages(), train=False)
    features = plain.apply(variables, stages(), train=False)
    ours = rectified.apply(variables, stages(), train=False)
    np.testing.assert_allclose(ours, np.maximum(features, 0), atol=1e-6)


def test_refinement_is_a_convolution_and_a_normalisation_without_relu():
    plain, refined = (DeepLabV3(4, rates=(1,), refine=r) for r in (False, True))
    variables = filled(refined, stages(), train=False)
    layer = ConvNorm(4, 3, activation=None)
    params = {"params": variables["params"]["refine"]}
    stats = {"batch_stats": variables["batch_stats"]["refine"]}
    coarse = plain.apply(variables, stages(), train=False)
    features = refined.apply(variables, stages(), train=False)
    wanted = layer.apply(params | stats, coarse, train=False)
    np.testing.assert_allclose(features, wanted, atol=1e-5)
    assert "bias" not in params["params"]["conv"] and features.min() < 0
