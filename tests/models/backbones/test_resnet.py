import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.resnet import ResNet
from jaxseg.models.classifier import ImageClassifier
from jaxseg.models.heads.fcn import FCN
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import (
    filled,
    num_parameters,
    stage_shapes,
)
from tests.models.gradients import (
    assert_gradients_survive_remat,
    assert_half_precision_is_near,
)
from tests.pretrained.published import loaded, settle, tensors_of, to_torch


# torchvision's resnet18, 34, 50, 101 without `fc`; the last two are PiCo's.
@pytest.mark.parametrize(
    "fields, count",
    [
        (dict(depth=18), 11_176_512),
        (dict(depth=34), 21_284_672),
        (dict(depth=50), 23_508_032),
        (dict(depth=101), 42_500_160),
        (dict(depth=50, deep_stem=True), 23_631_808),
        (dict(depth=101, deep_stem=True), 42_623_936),
    ],
)
def test_parameter_count_is_the_published_one(fields, count):
    assert num_parameters(ResNet(**fields)) == count


@pytest.mark.parametrize(
    "depth, count",
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160)],
)
def test_parameter_count_with_classifier_is_torchvisions(depth, count):
    assert num_parameters(ImageClassifier(ResNet(depth))) == count


@pytest.mark.parametrize(
    "output_stride, sizes",
    [(32, (16, 8, 4, 2)), (16, (16, 8, 4, 4)), (8, (16, 8, 8, 8))],
)
def test_stages_stop_shrinking_at_the_output_stride(output_stride, sizes):
    shapes, _ = stage_shapes(ResNet(50, output_stride), (2, 64, 64, 3))
    wanted = zip(sizes, (256, 512, 1024, 2048), strict=True)
    assert shapes == [(2, size, size, d) for size, d in wanted]


def dilated_and_strided(image, depth):
    """The stages at output strides 16 and 32, of the same weights."""
    dilated, strided = (ResNet(depth, stride, width=4) for stride in (16, 32))
    variables = filled(strided, image, train=False)

    @jax.jit
    def run(image):
        return (
            dilated.apply(variables, image, train=False),
            strided.apply(variables, image, train=False),
        )

    return run(image)


@pytest.mark.parametrize("depth", [18, 50])
def test_dilation_computes_the_strided_network_on_a_finer_grid(depth):
    image = np.random.default_rng(0).normal(size=(1, 128, 128, 3))
    fine, coarse = dilated_and_strided(jnp.asarray(image, jnp.float32), depth)
    np.testing.assert_allclose(fine[2], coarse[2], atol=1e-5)
    np.testing.assert_allclose(fine[3][:, ::2, ::2], coarse[3], rtol=1e-4, atol=1e-3)


def stages_in_torch(depth, image, **fields):
    """A settled network of torch, and its stages without the stem as [B, h, w, D]."""
    import torch

    from tests.models.torch_resnet import ResNet as TorchResNet

    theirs = TorchResNet(depth, width=4, **fields)
    # Larger scales would let fifty layers amplify the rounding.
    settle(theirs, image, scales=(0.1, 0.3), spread=0.1).eval()
    with torch.no_grad():
        _, *stages = theirs.stages(to_torch(image))
    return theirs, [np.moveaxis(stage.numpy(), 1, -1) for stage in stages]


def assert_stages_equal(ours, theirs, image, expected, atol):
    segmentor = Segmentor(ours, FCN(8), 2, mean=(0.0,) * 3, std=(1.0,) * 3)
    tensors = tensors_of(theirs)
    variables = loaded(segmentor, tensors, image, allow=("head", "classifier"))
    variables = {kind: tree["backbone"] for kind, tree in variables.items()}
    stages = jax.jit(lambda x: ours.apply(variables, x, train=False))(image)
    for stage, other in zip(stages, expected, strict=True):
        np.testing.assert_allclose(stage, other, atol=atol)


def test_basic_blocks_equal_torch_on_even_sizes(torch):
    torch.manual_seed(0)
    image = np.random.default_rng(0).normal(size=(2, 64, 80, 3)).astype(np.float32)
    theirs, expected = stages_in_torch(18, image)
    assert_stages_equal(ResNet(18, 32, width=4), theirs, image, expected, 1e-5)


# Odd, even and doubly even sizes: the pooling sees 33 x 24 and 17 x 28 pixels.
@pytest.mark.parametrize("size", [(66, 47), (34, 56)])
def test_deep_stem_dilation_and_ceil_mode_equal_torch(torch, size):
    torch.manual_seed(0)
    image = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    plan = ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4))
    theirs, expected = stages_in_torch(
        50, image, plan=plan, stem="csail", ceil_mode=True
    )
    ours = ResNet(50, 8, deep_stem=True, pool_ceil_mode=True, width=4)
    assert_stages_equal(ours, theirs, image, expected, 1e-4)


# The plans that papers describe: output stride, dilations, multi-grid.
@pytest.mark.parametrize(
    "fields, last_stages",
    [
        (dict(output_stride=32), [(2, (1, 1, 1)), (2, (1, 1, 1))]),
        (dict(output_stride=16), [(2, (1, 1, 1)), (1, (1, 2, 2))]),
        (dict(output_stride=8), [(1, (1, 2, 2)), (1, (2, 4, 4))]),
        (  # DeepLabV2
            dict(output_stride=8, dilations=(1, 1, 2, 4)),
            [(1, (2, 2, 2)), (1, (4, 4, 4))],
        ),
        (  # SR's release
            dict(output_stride=16, dilations=(1, 1, 2, 4)),
            [(2, (2, 2, 2)), (1, (4, 4, 4))],
        ),
        (  # ZS3Net
            dict(output_stride=16, dilations=(1, 1, 1, 2), multi_grid=(1, 2, 4)),
            [(2, (1, 1, 1)), (1, (2, 4, 8))],
        ),
    ],
)
def test_plans(fields, last_stages):
    for blocks, (stride, dilations) in zip(
        ResNet(50, **fields)._plan()[2:], last_stages, strict=True
    ):
        assert [strides for strides, _ in blocks[:3]] == [stride, 1, 1]
        assert tuple(dilation for _, (dilation, _) in blocks[:3]) == dilations


def test_the_stem_may_come_first_among_the_stages():
    image = (1, 65, 97, 3)
    shapes, _ = stage_shapes(ResNet(18, with_stem=True), image)
    assert shapes[0] == (1, 33, 49, 64)
    assert shapes[1:] == stage_shapes(ResNet(18), image)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        dict(depth=18),
        pytest.param(
            dict(depth=50, deep_stem=True, average_shortcut=True, stride_in="1x1"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_gradients_survive_remat(fields):
    image = np.random.default_rng(0).normal(size=(2, 33, 40, 3)).astype(np.float32)
    assert_gradients_survive_remat(ResNet(width=2, **fields), image)


def test_half_precision_is_near():
    image = np.random.default_rng(0).normal(size=(2, 33, 40, 3)).astype(np.float32)
    assert_half_precision_is_near(ResNet(18, width=4), image)


def test_ceil_mode_adds_a_pixel_to_even_maps():
    image = (1, 512, 1024, 3)
    ceil, _ = stage_shapes(ResNet(50, 8, pool_ceil_mode=True), image)
    floor, _ = stage_shapes(ResNet(50, 8), image)
    assert [shape[1:3] for shape in ceil] == [(129, 257), *[(65, 129)] * 3]
    assert [shape[1:3] for shape in floor] == [(128, 256), *[(64, 128)] * 3]


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(depth=50, stride_in="first"), "stride_in 'first' is not"),
        (dict(depth=18, stride_in="1x1"), "no bottlenecks"),
        (dict(depth=18, multi_grid=(1, 2, 4)), "the 2 blocks of the last stage"),
        (dict(output_stride=4), "output_stride 4 is not 8, 16 or 32"),
    ],
)
def test_mistakes_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        stage_shapes(ResNet(**fields), (1, 32, 32, 3))


def test_unknown_depth_names_the_known_ones():
    with pytest.raises(ValueError, match=r"depth 20 is not one of \[18, 34, 50, 101\]"):
        ResNet(20).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
