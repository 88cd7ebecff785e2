import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models.backbones.unet import UNetEncoder
from jaxseg.models.heads.unet import UNet
from jaxseg.models.segmentor import Segmentor
from tests.models.fill import filled, num_parameters, shapes_of


def stages_of(*sizes):
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(2, *size, 3 + i)) for i, size in enumerate(sizes)]
    return tuple(jnp.asarray(x, jnp.float32) for x in maps)


def test_parameter_count_is_that_of_pytorch_unet():
    assert num_parameters(Segmentor(UNetEncoder(), UNet(), 2)) == 31_037_698


@pytest.mark.parametrize("sizes", [((12, 16), (6, 8)), ((13, 17), (6, 8))])
@pytest.mark.parametrize("enlarge", ["transposed", "bilinear"])
def test_levels_have_the_stages_sizes_and_the_last_is_the_result(sizes, enlarge):
    stages = stages_of(*sizes, (3, 4))
    head = UNet((6, 5), enlarge=enlarge)
    variables = filled(head, stages, train=False)
    levels = head.apply(variables, stages, train=False, method="levels")
    assert [x.shape for x in levels] == [(2, *sizes[1], 6), (2, *sizes[0], 5)]
    result = head.apply(variables, stages, train=False)
    np.testing.assert_array_equal(levels[-1], result)


def test_backbones_whose_sizes_round_up_may_be_odd_too():
    stages = stages_of((13, 17), (7, 9))
    result, _ = UNet((5,)).init_with_output(jax.random.key(0), stages, train=False)
    assert result.shape == (2, 13, 17, 5)


def test_dilated_backbones_need_linear_enlargement():
    stages = stages_of((8, 8), (8, 8))
    with pytest.raises(ValueError, match='enlarge="bilinear"'):
        shapes_of(UNet((5,)), stages)
    shapes_of(UNet((5,), enlarge="bilinear"), stages)


def test_a_plan_for_other_stages_is_refused():
    with pytest.raises(ValueError, match="2 stages need 1 levels"):
        shapes_of(UNet(), stages_of((8, 8), (4, 4)))


def test_an_unknown_enlargement_is_refused():
    with pytest.raises(ValueError, match="enlarge 'nearest'"):
        shapes_of(UNet((5,), enlarge="nearest"), stages_of((8, 8), (4, 4)))


def test_every_parameter_gets_a_finite_gradient():
    stages = stages_of((9, 12), (4, 6))
    head = UNet((4,))
    variables = filled(head, stages, train=False)

    def loss(params):
        state = {**variables, "params": params}
        y, _ = head.apply(state, stages, train=True, mutable=["batch_stats"])
        return jnp.mean(y**2 * jnp.arange(4))

    gradients = jax.jit(jax.grad(loss))(variables["params"])
    # The normalisation takes away what the bias of the enlargement adds.
    for leaf in jax.tree.leaves(gradients):
        assert jnp.isfinite(leaf).all()
    assert jnp.any(gradients["up1"]["kernel"] != 0)
