import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.mit import MiT
from jaxseg.models.heads.segformer import SegFormer
from jaxseg.models.segmentor import Segmentor
from jaxseg.ops.resize import resize_bilinear
from tests.models.fill import filled, num_parameters

HEAD = SegFormer(6)


@pytest.fixture(scope="module")
def stages():
    rng = np.random.default_rng(0)
    shapes = [(2, 9, 13, 4), (2, 5, 7, 5), (2, 3, 4, 8), (2, 2, 2, 7)]
    return tuple(jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)


@pytest.fixture(scope="module")
def variables(stages):
    """Random parameters, biases and statistics included."""
    variables = filled(HEAD, stages, train=False)
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: leaf + jnp.asarray(rng.uniform(0, 0.5, leaf.shape), leaf.dtype),
        variables,
    )


def as_published(variables, stages, train):
    """Each stage by itself, enlarged, all in a row from the deepest, then as one."""
    params, stats = variables["params"], variables["batch_stats"]["norm"]
    size = stages[0].shape[1:3]
    maps = []
    for index, stage in enumerate(stages):
        linear = params[f"linear{index}"]
        x = stage @ linear["kernel"] + linear["bias"]
        maps.append(resize_bilinear(x, size, align_corners=False))
    x = jnp.concatenate(maps[::-1], axis=-1) @ params["fuse"]["kernel"]
    mean, var = stats["mean"], stats["var"]
    if train:
        mean, var = jnp.mean(x, axis=(0, 1, 2)), jnp.var(x, axis=(0, 1, 2))
    x = (x - mean) / jnp.sqrt(var + 1e-5)
    return nn.relu(x * params["norm"]["scale"] + params["norm"]["bias"])


@pytest.mark.parametrize("train", [False, True])
def test_features_and_gradients_are_those_of_the_published_order(
    stages, variables, train
):
    target = jnp.asarray(np.random.default_rng(2).normal(size=(2, 9, 13, 6)))

    def ours(params):
        new = variables | {"params": params}
        x, _ = HEAD.apply(new, stages, train=train, mutable=["batch_stats"])
        return jnp.sum(x * target), x

    def theirs(params):
        x = as_published(variables | {"params": params}, stages, train)
        return jnp.sum(x * target), x

    params = variables["params"]
    (_, x), gradients = jax.jit(jax.value_and_grad(ours, has_aux=True))(params)
    (_, wanted), others = jax.jit(jax.value_and_grad(theirs, has_aux=True))(params)
    np.testing.assert_allclose(x, wanted, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        gradients,
        others,
    )


B1_TO_B5 = (64, 128, 320, 512)


@pytest.mark.parametrize(
    "widths, depths, features, cityscapes, ade20k",
    [
        ((32, 64, 160, 256), (2, 2, 2, 2), 256, 3_719_027, 3_752_694),
        (B1_TO_B5, (2, 2, 2, 2), 256, 13_682_131, 13_715_798),
        (B1_TO_B5, (3, 4, 6, 3), 768, 27_361_235, 27_461_974),
        (B1_TO_B5, (3, 4, 18, 3), 768, 47_237_075, 47_337_814),
        (B1_TO_B5, (3, 8, 27, 3), 768, 64_007_635, 64_108_374),
        (B1_TO_B5, (3, 6, 40, 3), 768, 84_607_955, 84_708_694),
    ],
    ids=["b0", "b1", "b2", "b3", "b4", "b5"],
)
def test_parameter_counts_are_the_authors(widths, depths, features, cityscapes, ade20k):
    backbone, head = MiT(widths, depths), SegFormer(features)
    assert num_parameters(Segmentor(backbone, head, 19)) == cityscapes
    # What is more are the classes that the last layer has more.
    assert ade20k - cityscapes == (150 - 19) * (features + 1)
