import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.heads.fpn import FPN
from tests.models.fill import filled, num_parameters


def stages():
    rng = np.random.default_rng(0)
    shapes = [(2, 17, 22, 3), (2, 9, 11, 5), (2, 5, 6, 8)]
    return tuple(jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes)


def test_features_have_the_first_stages_size():
    head = FPN(features=4)
    y = head.apply(filled(head, stages(), train=False), stages(), train=False)
    assert y.shape == (2, 17, 22, 4)


def test_parameter_count_by_hand():
    windows, projections = 2 * 9 * 4 * 4, (8 + 5 + 3) * 4
    assert num_parameters(FPN(features=4), stages()) == windows + projections + 24


def test_every_stage_reaches_the_features():
    head = FPN(features=4)
    variables = filled(head, stages(), train=False)
    grads = jax.grad(lambda s: jnp.sum(head.apply(variables, s, train=False) ** 2))
    assert all(jnp.any(g != 0) for g in grads(stages()))
