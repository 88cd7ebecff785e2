import jax
import numpy as np

from jaxseg.models.heads.identity import Identity


def test_it_picks_a_stage_and_has_no_parameters():
    stages = tuple(np.full((1, 2, 2, 3), value, np.float32) for value in range(3))
    features, variables = Identity(1).init_with_output(
        jax.random.key(0), stages, train=True
    )
    assert not variables
    np.testing.assert_array_equal(features, stages[1])
