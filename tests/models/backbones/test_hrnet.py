import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.backbones.hrnet import Exchange, HRNet
from tests.models.fill import (
    filled,
    num_parameters,
    same_shapes,
    shapes_of,
    stage_shapes,
)

SMALL = HRNet(width=4, modules=(1, 2, 1), blocks=1, stem_width=4)


def normal(*shape):
    rng = np.random.default_rng(sum(shape))
    return rng.normal(size=shape).astype(np.float32)


def test_parameter_count_is_the_published_one():
    assert num_parameters(HRNet()) == 65_325_120


def test_the_narrow_network_has_the_parameters_of_its_torch_twin(torch, torch_blocks):
    with torch.device("meta"):
        twin = torch_blocks.HRNet(18)
    assert num_parameters(HRNet(18)) == torch_blocks.num_parameters(twin) == 9_562_260


def test_stages_have_four_sizes_and_widths():
    shapes, dtypes = stage_shapes(SMALL, (2, 64, 96, 3))
    assert shapes == [(2, 16, 24, 4), (2, 8, 12, 8), (2, 4, 6, 16), (2, 2, 3, 32)]
    assert dtypes == {"float32"}


def test_odd_sizes_round_up():
    shapes, _ = stage_shapes(SMALL, (1, 65, 90, 3))
    assert [shape[1:3] for shape in shapes] == [(17, 23), (9, 12), (5, 6), (3, 3)]


def test_fewer_stages_make_fewer_branches():
    shapes, _ = stage_shapes(HRNet(4, (1,), blocks=1, stem_width=4), (1, 32, 32, 3))
    assert shapes == [(1, 8, 8, 4), (1, 4, 4, 8)]


def test_stages_equal_torch(torch_blocks):
    image = normal(2, 49, 70, 3)
    theirs = torch_blocks.settled(torch_blocks.HRNet(4, (1, 2, 1), 1, stem=4), image)
    variables = torch_blocks.variables_of(theirs)
    assert same_shapes(variables, shapes_of(SMALL, image))
    stages = jax.jit(lambda x: SMALL.apply(variables, x, train=False))(image)
    for stage, expected in zip(stages, torch_blocks.run(theirs, image), strict=True):
        np.testing.assert_allclose(stage, expected, atol=1e-4)


def test_exchange_equals_torch(torch_blocks):
    branches = [normal(2, 9, 11, 4), normal(2, 5, 6, 8), normal(2, 3, 3, 16)]
    theirs = torch_blocks.settled(torch_blocks.Exchange([4, 8, 16], 1), branches)
    variables = torch_blocks.variables_of(theirs)
    fused = Exchange(blocks=1).apply(variables, branches, train=False)
    for branch, expected in zip(fused, torch_blocks.run(theirs, branches), strict=True):
        np.testing.assert_allclose(branch, expected, atol=1e-4)


def test_every_parameter_gets_a_finite_gradient():
    image = normal(1, 33, 40, 3)
    small = HRNet(4, (1, 1), blocks=1, stem_width=4)
    variables = filled(small, image, train=False)

    def loss(params):
        state = {**variables, "params": params}
        stages, _ = small.apply(state, image, train=True, mutable=["batch_stats"])
        return sum(jnp.sum(stage**2) for stage in stages)

    for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(variables["params"])):
        assert jnp.isfinite(leaf).all() and jnp.any(leaf != 0)


def test_half_precision_is_near_the_truth():
    image = normal(1, 33, 40, 3)
    variables = filled(SMALL, image, train=False)
    half = SMALL.clone(dtype="bfloat16")
    exact = jax.jit(lambda x: SMALL.apply(variables, x, train=False))(image)
    stages = jax.jit(lambda x: half.apply(variables, x, train=False))(image)
    for stage, truth in zip(stages, exact, strict=True):
        assert stage.dtype == jnp.bfloat16
        assert jnp.abs(stage - truth).max() < 0.05 * jnp.abs(truth).max()
