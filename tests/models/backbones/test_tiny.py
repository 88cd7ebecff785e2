import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.backbones.tiny import Tiny
from tests.models.fill import filled, num_parameters, stage_shapes

SMALL = Tiny(widths=(4, 8, 16), depths=(0, 1, 2))


def test_stages_halve_the_size():
    shapes, dtypes = stage_shapes(SMALL, (2, 33, 64, 3))
    assert shapes == [(2, 17, 32, 4), (2, 9, 16, 8), (2, 5, 8, 16)]
    assert dtypes == {"float32"}


def test_parameter_count_by_hand():
    kernels = 9 * (3 * 4 + 4 * 8 + 8 * 8 + 8 * 16 + 2 * 16 * 16)
    assert num_parameters(SMALL) == kernels + 2 * (4 + 2 * 8 + 3 * 16)


def test_a_pixel_moves_only_what_sees_it():
    image = np.random.default_rng(0).normal(size=(1, 96, 96, 3)).astype(np.float32)
    variables = filled(SMALL, image, train=False)
    run = jax.jit(lambda x: SMALL.apply(variables, x, train=False)[-1])
    changed = run(jnp.asarray(image).at[0, 0, 0].add(10.0)) != run(image)
    assert changed[0, 0, 0].any()
    assert not changed[0, 4:, 4:].any()
