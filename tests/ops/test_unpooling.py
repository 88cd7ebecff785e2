import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops.unpooling import max_unpool


def normal(*shape):
    rng = np.random.default_rng(sum(shape))
    return rng.normal(size=shape).astype(np.float32)


def test_values_go_where_the_maxima_were():
    like = jnp.asarray([[1, 2, 5, 0], [4, 3, 0, 6]])[None, :, :, None]
    values = jnp.asarray([7, 8])[None, None, :, None]
    spread = max_unpool(values, like)[0, :, :, 0]
    np.testing.assert_array_equal(spread, [[0, 0, 0, 0], [7, 0, 0, 8]])


def test_of_equal_maxima_the_first_in_its_window_counts():
    like = jnp.asarray([[0, 0, 1, 3], [0, 0, 3, 3]])[None, :, :, None]
    spread = max_unpool(jnp.ones((1, 1, 2, 1)), like)[0, :, :, 0]
    np.testing.assert_array_equal(spread, [[1, 0, 0, 1], [0, 0, 0, 0]])


@pytest.mark.parametrize("height, width", [(6, 8), (7, 8), (5, 9)])
def test_equals_torch_with_its_indices(torch, height, width):
    like = np.maximum(normal(2, height, width, 3), 0)  # most windows have equal zeros
    maps = torch.tensor(np.moveaxis(like, -1, 1))
    pooled, indices = torch.nn.functional.max_pool2d(maps, 2, return_indices=True)
    values = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.max_unpool2d(
        values, indices, 2, output_size=maps.shape
    )
    ours = jax.jit(max_unpool)(np.moveaxis(values.numpy(), 1, -1), like)
    np.testing.assert_array_equal(np.moveaxis(np.asarray(ours), -1, 1), expected)


def test_gradients_come_back_from_where_the_values_went():
    like, weights = normal(1, 5, 6, 2), normal(1, 5, 6, 2)

    def total(values, like):
        return jnp.sum(max_unpool(values, like) * weights)

    values = normal(1, 2, 3, 2)
    gradient, none = jax.grad(total, argnums=(0, 1))(values, like)
    windows = like[:, :4].reshape(1, 2, 2, 3, 2, 2)
    is_maximum = windows == windows.max((2, 4), keepdims=True)
    expected = np.sum(weights[:, :4].reshape(windows.shape) * is_maximum, (2, 4))
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    assert not np.any(none)


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2, 2, 3\)"):
        max_unpool(jnp.zeros((1, 3, 3, 3)), jnp.zeros((1, 5, 5, 3)))
