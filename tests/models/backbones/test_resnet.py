import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.resnet import BasicBlock, ResNet
from tests.models.fill import filled, num_parameters, stage_shapes


# torchvision's resnet18, 34, 50, 101 without `fc`; the last is PiCo's deep stem.
@pytest.mark.parametrize(
    "fields, count",
    [
        (dict(depth=18), 11_176_512),
        (dict(depth=34), 21_284_672),
        (dict(depth=50), 23_508_032),
        (dict(depth=101), 42_500_160),
        (dict(depth=50, deep_stem=True), 23_631_808),
    ],
)
def test_parameter_count_is_the_published_one(fields, count):
    assert num_parameters(ResNet(**fields)) == count


@pytest.mark.parametrize(
    "output_stride, sizes",
    [(32, (16, 8, 4, 2)), (16, (16, 8, 4, 4)), (8, (16, 8, 8, 8))],
)
def test_stages_stop_shrinking_at_the_output_stride(output_stride, sizes):
    shapes, _ = stage_shapes(ResNet(50, output_stride), (2, 64, 64, 3))
    wanted = zip(sizes, (256, 512, 1024, 2048), strict=True)
    assert shapes == [(2, size, size, d) for size, d in wanted]


def test_half_precision_reaches_every_stage():
    _, dtypes = stage_shapes(ResNet(18, dtype="bfloat16"), (1, 32, 32, 3))
    assert dtypes == {"bfloat16"}


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


def torch_basic_block(torch, x, variables):
    """A strided residual block in torch, from our variables."""
    F = torch.nn.functional

    def conv_norm(y, name, **options):
        params, stats = variables["params"][name], variables["batch_stats"][name]
        kernel = torch.tensor(np.transpose(params["conv"]["kernel"], (3, 2, 0, 1)))
        y = F.conv2d(y, kernel, **options)
        norm = [stats["norm"]["mean"], stats["norm"]["var"]]
        norm += [params["norm"]["scale"], params["norm"]["bias"]]
        return F.batch_norm(y, *(torch.tensor(np.asarray(v)) for v in norm))

    x = torch.tensor(np.moveaxis(x, -1, 1))
    y = F.relu(conv_norm(x, "conv1", stride=2, padding=1))
    y = conv_norm(y, "conv2", padding=1) + conv_norm(x, "downsample", stride=2)
    return np.moveaxis(F.relu(y).numpy(), 1, -1)


def test_basic_block_equals_torch_on_even_sizes(torch):
    x = np.random.default_rng(0).normal(size=(2, 8, 10, 4)).astype(np.float32)
    block = BasicBlock(6, strides=2)
    variables = filled(block, x, train=False)
    ours = block.apply(variables, x, train=False)
    np.testing.assert_allclose(ours, torch_basic_block(torch, x, variables), atol=1e-5)


def test_unknown_depth_names_the_known_ones():
    with pytest.raises(ValueError, match=r"depth 20 is not one of \[18, 34, 50, 101\]"):
        ResNet(20).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
