import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.hrnet import Exchange, HRNet
from tests.models.fill import filled, num_parameters, stage_shapes
from tests.models.gradients import (
    assert_gradients_survive_remat,
    assert_half_precision_is_near,
)

SMALL = HRNet(width=4, modules=(1, 2, 1), blocks=1, stem_width=4)


def normal(*shape):
    rng = np.random.default_rng(sum(shape))
    return rng.normal(size=shape).astype(np.float32)


# The ImageNet classifiers of 21 299 004, 41 232 680 and 77 469 864 without their ends:
# a bottleneck on each branch, three convolutions that halve, two last layers.
@pytest.mark.parametrize(
    "width, count", [(18, 9_562_260), (32, 29_305_536), (48, 65_325_120)]
)
def test_parameter_counts_are_the_published_ones(width, count):
    assert num_parameters(HRNet(width)) == count


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


def test_early_stages_come_before_the_same_branches():
    shapes, _ = stage_shapes(SMALL, (1, 32, 32, 3))
    more, _ = stage_shapes(SMALL.clone(early_stages=True), (1, 32, 32, 3))
    assert [shape[-1] for shape in more[:-4]] == [4, 16, 4, 4]
    assert {shape[1:3] for shape in more[:-4]} == {(8, 8)}
    assert more[-4:] == shapes


def test_a_coarse_branch_is_enlarged_as_asked():
    """Zero kernels but for one 1x1 leave its enlargement, added to nothing."""
    branches = [jnp.zeros((1, 4, 4, 1)), jnp.asarray([[1.0, 2.0], [3.0, 4.0]])]
    branches[1] = branches[1][None, :, :, None] * jnp.ones(2)
    variables = filled(Exchange(blocks=1), branches, train=False)
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * (path[-1].key != "kernel"), variables["params"]
    )
    kernel = jnp.full((1, 1, 2, 1), 0.5)
    params["fuse_layers_0_1"]["conv"]["kernel"] = kernel
    rows = {
        "aligned": [1, 4 / 3, 5 / 3, 2],
        "centred": [1, 1.25, 1.75, 2],
        "nearest": [1, 1, 2, 2],
    }
    for fusion, expected in rows.items():
        finest, _ = Exchange(blocks=1, fusion=fusion).apply(
            {**variables, "params": params}, branches, train=False
        )
        np.testing.assert_allclose(finest[0, 0, :, 0], expected, rtol=1e-4)


def test_an_unknown_fusion_is_refused():
    with pytest.raises(ValueError, match="fusion 'linear'"):
        stage_shapes(SMALL.clone(fusion="linear"), (1, 32, 32, 3))


@pytest.mark.slow
def test_recomputing_exchanges_changes_nothing():
    small = HRNet(4, (1,), blocks=1, stem_width=4)
    assert_gradients_survive_remat(small, normal(2, 17, 24, 3))


@pytest.mark.slow
def test_half_precision_is_near_the_truth():
    assert_half_precision_is_near(SMALL, normal(1, 33, 40, 3))
