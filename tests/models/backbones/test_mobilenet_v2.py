import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones import mobilenet_v2
from jaxseg.models.backbones.mobilenet_v2 import MobileNetV2
from tests.models.fill import filled, num_parameters, shapes_of, stage_shapes
from tests.models.gradients import (
    assert_gradients_survive_remat,
    assert_half_precision_is_near,
)

IMAGE = np.random.default_rng(0).normal(size=(2, 33, 40, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "output_stride, sizes",
    [(32, (32, 16, 8, 4, 2)), (16, (32, 16, 8, 4, 4)), (8, (32, 16, 8, 8, 8))],
)
def test_stages_stop_shrinking_at_the_output_stride(output_stride, sizes):
    shapes, _ = stage_shapes(MobileNetV2(output_stride), (2, 64, 64, 3))
    channels = (16, 24, 32, 96, 320)
    wanted = zip(sizes, channels, strict=True)
    assert shapes == [(2, size, size, d) for size, d in wanted]


def test_odd_sizes_round_up():
    shapes, _ = stage_shapes(MobileNetV2(16), (1, 180, 241, 3))
    assert [shape[1:3] for shape in shapes] == [
        (90, 121),
        (45, 61),
        (23, 31),
        (12, 16),
        (12, 16),
    ]


def test_parameter_count_is_the_published_one():
    # torchvision's 3,504,872 less its classifier and its last 1x1 convolution.
    assert num_parameters(MobileNetV2()) == 3_504_872 - 1_281_000 - 412_160
    assert num_parameters(MobileNetV2(last_features=1280)) == 3_504_872 - 1_281_000


def test_the_last_convolution_is_a_stage_of_its_own():
    shapes, _ = stage_shapes(MobileNetV2(16, last_features=1280), (1, 65, 98, 3))
    assert shapes[-2:] == [(1, 5, 7, 320), (1, 5, 7, 1280)]


def test_half_width_has_the_channels_of_the_published_half_size_deeplab():
    backbone = MobileNetV2(width=0.5, divisor=4)
    shapes, _ = stage_shapes(backbone, (1, 32, 32, 3))
    assert [shape[-1] for shape in shapes] == [8, 12, 16, 48, 160]


def test_half_precision_is_near_the_truth(monkeypatch):
    # Rounding adds up along the residual sums, which nothing normalises.
    monkeypatch.setattr(mobilenet_v2, "STAGES", mobilenet_v2.STAGES[:3])
    assert_half_precision_is_near(MobileNetV2(), IMAGE)


@pytest.mark.slow
def test_gradients_survive_remat(monkeypatch):
    monkeypatch.setattr(mobilenet_v2, "STAGES", mobilenet_v2.STAGES[:2])
    assert_gradients_survive_remat(MobileNetV2(last_features=64), IMAGE)


def test_dilated_blocks_follow_the_published_table():
    dilations = {}

    def record(next_function, args, kwargs, context):
        module = context.module
        if context.method_name == "__call__" and module.name == "depthwise":
            dilations[module.path[0]] = module.dilation
        return next_function(*args, **kwargs)

    with nn.intercept_methods(record):
        stage_shapes(MobileNetV2(output_stride=8), (1, 32, 32, 3))
    values = list(dilations.values())
    np.testing.assert_array_equal(values, [1] * 7 + [2] * 7 + [4] * 3)


def test_unknown_output_stride_is_named():
    with pytest.raises(ValueError, match="output_stride 4 is not 8, 16 or 32"):
        shapes_of(MobileNetV2(4), jnp.zeros((1, 32, 32, 3)))


def test_unknown_padding_is_named():
    with pytest.raises(ValueError, match="padding is 'same'; choose 'tensorflow' or"):
        shapes_of(MobileNetV2(padding="same"), jnp.zeros((1, 32, 32, 3)))


def test_paddings_differ_on_even_sizes_only():
    like_torch, like_tensorflow = MobileNetV2(padding="torch"), MobileNetV2()
    even = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    odd = even[:, 1:, 1:]
    variables = filled(like_torch, odd, train=False)
    run = jax.jit(
        lambda model, x: model.apply(variables, x, train=False)[0], static_argnums=0
    )
    np.testing.assert_array_equal(run(like_torch, odd), run(like_tensorflow, odd))
    assert np.abs(run(like_torch, even) - run(like_tensorflow, even)).max() > 0.1
