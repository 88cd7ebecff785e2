import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.ops import picture_map
from jaxseg.ops.picture_map import map_pictures


def sums(first, second):
    """Of one picture or of several: sums over the last two axes, and their lengths."""
    total = jnp.sum(first, axis=(-1, -2))
    return total if second is None else (total, total * second)


@pytest.mark.parametrize("at_a_time", [1, 3, 8])
@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("batch", [5, 8])
def test_every_picture_gets_its_own(monkeypatch, at_a_time, devices, batch):
    monkeypatch.setattr(picture_map, "_num_at_a_time", lambda bytes_each: at_a_time)
    monkeypatch.setattr(picture_map, "num_devices", lambda: devices)
    pictures = np.random.default_rng(0).normal(size=(batch, 3, 4)).astype(np.float32)
    factors = np.arange(batch, dtype=np.float32)
    total, product = map_pictures(sums, pictures, factors, bytes_each=1)
    np.testing.assert_allclose(total, pictures.sum(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(product, total * factors, rtol=1e-5)


def test_none_is_passed_on():
    found = map_pictures(sums, jnp.ones((2, 3, 4)), None, bytes_each=1)
    np.testing.assert_array_equal(found, [12, 12])


def test_no_pictures_give_nothing():
    found = map_pictures(sums, jnp.ones((0, 3, 4)), None, bytes_each=1)
    assert found.shape == (0,)


def test_memory_limits_how_many_are_at_work(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(picture_map, "MEMORY", 100)
    assert picture_map._num_at_a_time(30) == 3
    assert picture_map._num_at_a_time(1000) == 1
