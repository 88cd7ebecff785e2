"""The whole is compared with Hugging Face's in the tests of MaskFormer's key map."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.heads.query_transformer import (
    CrossAttention,
    QueryTransformer,
    sine_positions,
)
from tests.models.fill import filled, shapes_of


def test_positions_by_hand():
    h, w, d = 3, 5, 8
    positions = sine_positions(h, w, d)
    for row, column in np.ndindex(h, w):
        wanted = []
        for place, size in ((row, h), (column, w)):
            angle = 2 * math.pi * (place + 1) / size
            for frequency in (1, 1e-2):  # 10000^(-0 / 8), 10000^(-4 / 8)
                wanted += [math.sin(angle * frequency), math.cos(angle * frequency)]
        np.testing.assert_allclose(positions[row, column], wanted, atol=1e-5)


def test_attention_is_a_weighted_mean_of_the_values_in_each_head():
    rng = np.random.default_rng(0)
    query, key, value = (rng.normal(size=(1, n, 4)) for n in (2, 3, 3))
    attention = CrossAttention(num_heads=2)
    variables = filled(attention, query, key, value, train=False)
    kernel = np.split(variables["params"]["qkv"]["kernel"], 3, axis=1)
    projected = [x[0] @ k for x, k in zip((query, key, value), kernel, strict=True)]
    wanted = np.zeros((2, 4))
    for head in (slice(0, 2), slice(2, 4)):
        q, k, v = (x[:, head] for x in projected)
        for index in range(2):
            weights = np.exp(k @ q[index] / math.sqrt(2))
            wanted[index, head] = weights / weights.sum() @ v
    wanted = wanted @ variables["params"]["out"]["kernel"]
    tokens = map(jnp.asarray, (query, key, value))
    ours = attention.apply(variables, *tokens, train=False)
    np.testing.assert_allclose(ours[0], wanted, atol=1e-5)


@pytest.mark.parametrize(("channels", "projected"), [(12, True), (8, False)])
def test_a_map_of_the_right_width_is_not_projected(channels, projected):
    transformer = QueryTransformer(4, width=8, depth=1, num_heads=2, hidden=6)
    params = shapes_of(transformer, jnp.zeros((1, 2, 3, channels)))["params"]
    assert ("input_proj" in params) == projected
