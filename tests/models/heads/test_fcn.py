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
