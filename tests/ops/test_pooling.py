import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops.pooling import adaptive_average_pool, halve_by_maximum


# Whole cells, cells that overlap, more cells than pixels.
@pytest.mark.parametrize("size", [(12, 18), (7, 11), (5, 4), (1, 9)])
@pytest.mark.parametrize("cells", [(1, 1), (2, 3), (6, 6)])
def test_adaptive_average_pool_equals_torch(torch, size, cells):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    theirs = torch.nn.functional.adaptive_avg_pool2d(
        torch.tensor(np.moveaxis(x, -1, 1)), cells
    )
    ours = jax.jit(adaptive_average_pool, static_argnums=1)(x, cells)
    np.testing.assert_allclose(ours, np.moveaxis(theirs.numpy(), 1, -1), atol=1e-6)


def test_averages_are_summed_in_float32():
    x = jnp.full((1, 64, 64, 1), 257.0, jnp.bfloat16)
    pooled = adaptive_average_pool(x, (1, 1))
    assert pooled.dtype == jnp.bfloat16
    assert pooled.item() == x[0, 0, 0, 0].item()


@pytest.mark.parametrize("size", [(8, 10), (9, 7), (1, 2)])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_halving_equals_torch(torch, size, ceil_mode):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    theirs = torch.nn.functional.max_pool2d(
        torch.tensor(np.moveaxis(x, -1, 1)), 3, 2, 1, ceil_mode=ceil_mode
    )
    ours = halve_by_maximum(jnp.asarray(x), ceil_mode=ceil_mode)
    np.testing.assert_array_equal(ours, np.moveaxis(theirs.numpy(), 1, -1))
