import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.vgg import VGG
from jaxseg.models.heads.segnet import SegNet
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import filled, num_parameters, shapes_of
from tests.pretrained.published import (
    randomise,
    relative_difference,
    tensors_of,
    to_torch,
)

WIDTHS = (4, 6, 8)
PLAN = ((8, 6), (6, 4), (4, 5))


def stages_of(height, width):
    """Maps as after a ReLU, where most windows have several maxima, of zero."""
    rng = np.random.default_rng(0)
    shapes = [(height >> level, width >> level, d) for level, d in enumerate(WIDTHS)]
    maps = [rng.normal(size=(2, *shape)) for shape in shapes]
    return tuple(np.maximum(x, 0).astype(np.float32) for x in maps)


def variables_of(tensors):
    """Ours of the torch decoder's: layers are counted through in each block."""
    params, stats = {}, {}
    for block, widths in enumerate(PLAN):
        level = params.setdefault(f"level{block + 1}", {})
        level_stats = stats.setdefault(f"level{block + 1}", {})
        for index in range(len(widths)):
            conv, norm = (f"blocks.{block}.{3 * index + i}" for i in (0, 1))
            level[f"conv{index + 1}"] = {
                "conv": {
                    "kernel": tensors[f"{conv}.weight"].transpose(2, 3, 1, 0),
                    "bias": tensors[f"{conv}.bias"],
                },
                "norm": {
                    "scale": tensors[f"{norm}.weight"],
                    "bias": tensors[f"{norm}.bias"],
                },
            }
            level_stats[f"conv{index + 1}"] = {
                "norm": {
                    "mean": tensors[f"{norm}.running_mean"],
                    "var": tensors[f"{norm}.running_var"],
                }
            }
    return {"params": params, "batch_stats": stats}


@pytest.mark.parametrize("train", [False, True])
def test_all_levels_with_indices_equal_torch(torch, train):
    from tests.models import torch_unet

    torch.manual_seed(0)
    stages = stages_of(25, 38)
    theirs = randomise(torch_unet.SegNet(WIDTHS[-1], PLAN))
    variables = variables_of(tensors_of(theirs))
    expected = theirs.train(train)([to_torch(x) for x in stages])
    head = SegNet(PLAN, unpool="indices")
    levels, _ = jax.jit(
        lambda stages: head.apply(
            variables, stages, train=train, method="levels", mutable=["batch_stats"]
        )
    )(stages)
    for level, wanted in zip(levels, expected, strict=True):
        assert relative_difference(level, wanted) < 1e-4


def test_both_ways_have_the_same_parameters_and_the_last_level_is_the_result():
    stages = stages_of(16, 24)
    variables = filled(SegNet(PLAN), stages, train=False)
    for unpool in ("indices", "bilinear"):
        head = SegNet(PLAN, unpool=unpool)
        levels = head.apply(variables, stages, train=False, method="levels")
        result = head.apply(variables, stages, train=False)
        assert [level.shape for level in levels] == [
            (2, 4, 6, 6),
            (2, 8, 12, 4),
            (2, 16, 24, 5),
        ]
        np.testing.assert_array_equal(levels[-1], result)


def test_linear_unpooling_keeps_constant_maps():
    """Zero kernels but for the centre hand the enlarged map through."""
    stages = tuple(jnp.full((1, 8 >> i, 8 >> i, 2), 3.0) for i in range(2))
    head = SegNet(((2,), (2,)), use_bias=False)
    variables = filled(head, stages, train=False)

    def through(path, leaf):
        if path[-1].key == "kernel":
            return jnp.zeros_like(leaf).at[1, 1].set(jnp.eye(2))
        return leaf

    params = jax.tree_util.tree_map_with_path(through, variables["params"])
    result = head.apply({**variables, "params": params}, stages, train=False)
    np.testing.assert_allclose(result, 3.0, rtol=1e-4)


def test_a_plan_for_other_stages_is_refused():
    with pytest.raises(ValueError, match="3 stages"):
        shapes_of(SegNet(), stages_of(16, 16))


def test_an_unknown_way_of_unpooling_is_refused():
    with pytest.raises(ValueError, match="unpool 'nearest'"):
        shapes_of(SegNet(PLAN, unpool="nearest"), stages_of(16, 16))


def test_the_mirrored_decoder_has_thirteen_convolutions():
    network = Segmentor(VGG(), SegNet(), 21)
    params = shapes_of(network, jnp.zeros((1, 64, 64, 3)))["params"]
    kernels = [x for x in jax.tree.leaves(params["head"]) if x.ndim == 4]
    assert len(kernels) == 13
    assert num_parameters(network) == 29_481_429
