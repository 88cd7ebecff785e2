"""Values are compared with torch in tests/pretrained/keymaps/test_psp.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.heads.psp import PSP, RegionPyramid
from tests.models.fill import filled


def stage(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def apply(module, variables, x, **fields):
    run = functools.partial(module.apply, mutable=["batch_stats"], **fields)
    y, _ = jax.jit(run)(variables, x)
    return y


def test_features_have_the_last_stages_size():
    stages = (stage(2, 13, 9, 4), stage(2, 7, 5, 8))
    head = PSP(features=6)
    variables = filled(head, stages, train=False)
    assert apply(head, variables, stages, train=False).shape == (2, 7, 5, 6)
    assert set(variables["params"]["pyramid"]) == {f"level_{i}" for i in range(4)}


@pytest.mark.parametrize("features, width", [(None, 8 // 4), (3, 3)])
def test_levels_share_the_stages_width_or_have_their_own(features, width):
    x = stage(1, 7, 5, 8)
    pyramid = RegionPyramid(features)
    shape = jax.eval_shape(
        lambda: pyramid.init_with_output(jax.random.key(0), x, train=False)
    )[0].shape
    assert shape == (1, 7, 5, 8 + 4 * width)


def test_the_map_stays_beside_its_mean():
    x = stage(2, 7, 5, 8)
    pyramid = RegionPyramid(8, bins=(1,))
    variables = filled(pyramid, x, train=False)
    variables["params"]["level_0"]["conv"]["kernel"] = jnp.eye(8)[None, None]
    y = apply(pyramid, variables, x, train=False)
    np.testing.assert_array_equal(y[..., :8], x)
    wanted = np.maximum(np.mean(x, axis=(1, 2), keepdims=True), 0)
    np.testing.assert_allclose(y[..., 8:], np.broadcast_to(wanted, x.shape), atol=1e-4)


def test_dropout_blanks_whole_channels():
    x = (stage(2, 6, 6, 8),)
    head = PSP(features=16, dropout=0.5)
    variables = filled(head, x, train=False)
    rngs = {"dropout": jax.random.key(0)}
    features = apply(head, variables, x, train=True, rngs=rngs)
    blank = np.all(features == 0, axis=(1, 2))
    assert 0 < blank.sum() < blank.size
