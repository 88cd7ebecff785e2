import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

from jaxseg.models.backbones import mobilenet_v3
from jaxseg.models.backbones.mobilenet_v3 import MobileNetV3Large
from tests.models.fill import num_parameters, stage_shapes
from tests.models.gradients import (
    assert_gradients_survive_remat,
    assert_half_precision_is_near,
)

IMAGE = np.random.default_rng(0).normal(size=(2, 33, 40, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "output_stride, sizes",
    [(32, (33, 17, 9, 5, 3)), (16, (33, 17, 9, 5, 5)), (8, (33, 17, 9, 9, 9))],
)
def test_stages_stop_shrinking_at_the_output_stride(output_stride, sizes):
    shapes, _ = stage_shapes(MobileNetV3Large(output_stride), (2, 65, 65, 3))
    wanted = zip(sizes, (16, 24, 40, 112, 960), strict=True)
    assert shapes == [(2, size, size, d) for size, d in wanted]


@pytest.mark.slow
def test_an_early_stage_is_one_more_and_changes_no_other():
    def outputs(method, *args):
        return jax.jit(functools.partial(method, train=False))(*args)

    plain, more = MobileNetV3Large(), MobileNetV3Large(early_stage=True)
    variables = outputs(plain.init, jax.random.key(0), IMAGE)
    stages = outputs(plain.apply, variables, IMAGE)
    more = outputs(more.apply, variables, IMAGE)
    early = more[2]
    assert early.shape == more[3].shape and not np.allclose(early, more[3])
    for stage, same in zip(stages, (*more[:2], *more[3:]), strict=True):
        np.testing.assert_allclose(stage, same, rtol=1e-5, atol=1e-6)


def test_parameter_count_is_the_published_one():
    # torchvision's 5,483,032 less the two linear layers of its classifier.
    hidden, classes = 960 * 1280 + 1280, 1280 * 1000 + 1000
    assert num_parameters(MobileNetV3Large()) == 5_483_032 - hidden - classes


@pytest.mark.parametrize(
    "output_stride, expected",
    [(16, [1] * 12 + [2] * 3), (8, [1] * 6 + [2] * 6 + [4] * 3)],
)
def test_a_block_that_gives_up_its_stride_is_dilated(output_stride, expected):
    dilations = []

    def record(next_function, args, kwargs, context):
        module = context.module
        if context.method_name == "__call__" and module.name == "depthwise":
            dilations.append(module.dilation)
        return next_function(*args, **kwargs)

    with nn.intercept_methods(record):
        stage_shapes(MobileNetV3Large(output_stride), (1, 32, 32, 3))
    assert dilations == expected


@pytest.mark.slow
def test_gradients_survive_remat(monkeypatch):
    plain, _, (squeezing, *_), *_ = mobilenet_v3.STAGES
    monkeypatch.setattr(mobilenet_v3, "STAGES", (plain, (squeezing,)))
    assert_gradients_survive_remat(MobileNetV3Large(), IMAGE)


@pytest.mark.slow
def test_half_precision_is_near_the_truth():
    assert_half_precision_is_near(MobileNetV3Large(), IMAGE)
