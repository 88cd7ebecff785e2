import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import initialization
from jaxseg.methods.pico import method as method_module
from jaxseg.methods.pico.network import labels_at
from jaxseg.ops.resize import resize_nearest
from tests.methods.pico.test_method import first_batch, pico_config
from tests.test_train import build


def test_labels_are_of_the_places_that_a_padded_picture_has_there():
    rows = np.arange(360)[:, None] % 251
    labels = jnp.asarray(np.broadcast_to(rows, (1, 360, 480)))
    found = labels_at(labels, (23, 30), size_divisor=16, ignored=255)
    expected = np.broadcast_to(np.arange(23)[:, None] * 16 % 251, (23, 30))
    np.testing.assert_array_equal(found[0], expected)


def test_what_lies_in_the_padding_only_is_ignored():
    labels = jnp.ones((1, 3, 9), jnp.uint8)
    found = labels_at(labels, (8, 16), size_divisor=8, ignored=255)
    np.testing.assert_array_equal(found[0, :3, :9], 1)
    assert found.dtype == jnp.uint8
    assert np.all(found[0, 3:] == 255) and np.all(found[0, :, 9:] == 255)


@pytest.mark.parametrize("divisor", [1, 4])
def test_without_padding_it_is_the_nearest_label(divisor):
    labels = jnp.asarray(np.random.default_rng(0).integers(0, 9, (2, 8, 12)))
    found = labels_at(labels, (3, 5), size_divisor=divisor, ignored=255)
    np.testing.assert_array_equal(found, resize_nearest(labels, (3, 5)))


def test_the_method_knows_how_its_segmentor_pads(monkeypatch):
    seen = []

    def spy(labels, grid, **options):
        seen.append(options)
        return labels_at(labels, grid, **options)

    monkeypatch.setattr(method_module, "labels_at", spy)
    config = pico_config()
    config["model"] = config["model"] | dict(size_divisor=16)
    method, mesh = build(config)
    state = initialization.describe(config, method, mesh)
    jax.eval_shape(
        method.loss, state.params, state, first_batch(config), jax.random.key(0)
    )
    assert seen == [dict(size_divisor=16, ignored=255)]
