"""Values are compared with torch in tests/pretrained/keymaps/test_psp.py."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.heads.upernet import UPerNet
from tests.models.fill import filled

SHAPES = ((2, 17, 13, 4), (2, 9, 7, 6), (2, 5, 4, 8))


def test_features_have_the_first_stages_size_and_all_stages_count():
    rng = np.random.default_rng(0)
    stages = [jnp.asarray(rng.normal(size=s), jnp.float32) for s in SHAPES]
    head = UPerNet(features=6, bins=(1, 2))
    variables = filled(head, tuple(stages), train=False)
    assert set(variables["params"]) == {
        "pyramid",
        "project",
        "lateral_0",
        "lateral_1",
        "level_0",
        "level_1",
        "join",
    }
    run = jax.jit(lambda *stages: head.apply(variables, stages, train=False))
    features = run(*stages)
    assert features.shape == (2, 17, 13, 6)
    for index in range(3):
        without = [0 * x if i == index else x for i, x in enumerate(stages)]
        assert not np.allclose(run(*without), features)
