import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.models.heads.fcn import FCN
from tests.models.fill import filled


def test_reads_the_last_stage_at_its_size():
    stages = (jnp.zeros((2, 16, 16, 4)), jnp.ones((2, 6, 7, 8)))
    head = FCN(features=5, num_convs=2)
    variables = filled(head, stages, train=False)
    assert head.apply(variables, stages, train=False).shape == (2, 6, 7, 5)
    assert len(variables["params"]) == 2


def test_is_a_convolution_a_normalisation_and_a_relu():
    stage = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 5, 3)), jnp.float32)
    head = FCN(features=4)
    variables = filled(head, (stage,), train=False)
    kernel = variables["params"]["ConvNorm_0"]["conv"]["kernel"]
    summed = jax.lax.conv(
        stage.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1), (1, 1), "SAME"
    )
    wanted = np.maximum(summed.transpose(0, 2, 3, 1) / np.sqrt(1 + 1e-5), 0)
    ours = head.apply(variables, (stage,), train=False)
    np.testing.assert_allclose(ours, wanted, atol=1e-5)


def test_joins_several_stages_at_the_first_ones_size():
    stages = (jnp.zeros((2, 9, 8, 4)), jnp.ones((2, 5, 4, 8)), jnp.ones((2, 3, 2, 1)))
    head = FCN(features=5, stages=(0, -1), use_bias=True)
    params = filled(head, stages, train=False)["params"]["ConvNorm_0"]
    assert jax.tree.map(jnp.shape, params["conv"]) == {
        "kernel": (3, 3, 4 + 1, 5),
        "bias": (5,),
    }
    y, _ = head.init_with_output(jax.random.key(0), stages, train=False)
    assert y.shape == (2, 9, 8, 5)


def test_its_convolutions_may_see_single_pixels():
    stages = (jnp.ones((2, 5, 4, 8)),)
    params = filled(FCN(6, kernel_size=1), stages, train=False)["params"]
    assert params["ConvNorm_0"]["conv"]["kernel"].shape == (1, 1, 8, 6)


def dropped(train):
    """Where an image's channels are blank, [B, D], with half of them to be dropped."""
    stage = jnp.asarray(np.random.default_rng(0).normal(size=(8, 6, 6, 3)), jnp.float32)
    head = FCN(features=64, dropout=0.5)
    y, _ = head.apply(
        filled(head, (stage,), train=False),
        (stage,),
        train=train,
        mutable=["batch_stats"],
        rngs={"dropout": jax.random.key(0)} if train else {},
    )
    return np.asarray(jnp.all(y == 0, axis=(1, 2)))


def test_training_drops_whole_channels_of_each_image_by_itself():
    blank = dropped(train=True)
    assert 0.4 < blank.mean() < 0.6
    assert len({row.tobytes() for row in blank}) == len(blank)


def test_evaluation_drops_nothing():
    assert not dropped(train=False).any()
