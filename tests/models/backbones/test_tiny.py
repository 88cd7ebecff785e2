import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.backbones.tiny import Tiny
from tests.models.fill import filled, num_parameters, stage_shapes


def test_stages_halve_the_size():
    shapes, dtypes = stage_shapes(Tiny(width=8), (2, 33, 64, 3))
    assert shapes == [(2, 17, 32, 8), (2, 9, 16, 16), (2, 5, 8, 32)]
    assert dtypes == {"float32"}


def test_parameter_count_by_hand():
    kernels = 9 * (3 * 8 + 8 * 16 + 16 * 16 + 16 * 32 + 32 * 32)
    assert num_parameters(Tiny(width=8)) == kernels + 2 * (8 + 16 + 16 + 32 + 32)


def test_a_pixel_moves_only_what_sees_it():
    backbone = Tiny(width=4)
    image = np.random.default_rng(0).normal(size=(1, 96, 96, 3)).astype(np.float32)
    variables = filled(backbone, image, train=False)
    run = jax.jit(lambda x: backbone.apply(variables, x, train=False)[-1])
    changed = run(jnp.asarray(image).at[0, 0, 0].add(10.0)) != run(image)
    assert changed[0, 0, 0].any()
    assert not changed[0, 4:, 4:].any()
