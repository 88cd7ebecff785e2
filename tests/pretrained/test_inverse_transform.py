import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.pretrained import inverse_transform

RNG = np.random.default_rng(0)


def tensors(*widths):
    """Weights and biases of a chain of layers, by the published names."""
    arrays = {}
    for i, (inputs, width) in enumerate(zip(widths, widths[1:], strict=False)):
        arrays[f"fc.{2 * i}.weight"] = RNG.normal(size=(width, inputs))
        arrays[f"fc.{2 * i}.bias"] = RNG.normal(size=width)
    return arrays


@pytest.fixture
def file(tmp_path):
    def write(arrays):
        np.savez(tmp_path / "regressor.npz", **arrays)
        return str(tmp_path / "regressor.npz")

    return write


def test_it_is_the_network_of_the_file(file):
    arrays = tensors(2 * 5**2, 7, 6, 4)
    network, params = inverse_transform.read(file(arrays))
    assert (network.tile, network.hidden) == (5, (7, 6))
    predicted, true = RNG.random((2, 3, 5, 5))
    x = np.concatenate([predicted.reshape(3, -1), true.reshape(3, -1)], axis=1)
    for i in (0, 2, 4):
        x = np.maximum(x, 0) if i else x
        x = x @ arrays[f"fc.{i}.weight"].T + arrays[f"fc.{i}.bias"]
    ours = network.transforms(params, jnp.asarray(predicted), jnp.asarray(true))
    np.testing.assert_allclose(ours, x, rtol=1e-4, atol=1e-4)


def test_files_of_several_devices_and_half_precision_are_read(file):
    arrays = tensors(2 * 5**2, 7, 6, 4)
    half = {f"module.{name}": x.astype(np.float16) for name, x in arrays.items()}
    _, params = inverse_transform.read(file(half))
    kernel = params["dense_1"]["kernel"]
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(kernel.T, arrays["fc.2.weight"], rtol=1e-3, atol=1e-3)


def test_names_go_both_ways():
    arrays = tensors(2 * 3**2, 5, 4)
    _, params = inverse_transform.from_tensors(arrays, source="here")
    back = inverse_transform.to_tensors(params)
    assert back.keys() == arrays.keys()
    for name, array in back.items():
        np.testing.assert_allclose(array, arrays[name], rtol=1e-6)


@pytest.mark.parametrize(
    "arrays, found",
    [
        ({"conv1.weight": np.zeros((3, 3))}, "conv1.weight"),
        ({"fc.2.weight": np.zeros((4, 3))}, "fc.2.weight"),
        (tensors(51, 7, 4), "51 -> 7, 7 -> 4"),
        (tensors(50, 7, 6), "7 -> 6"),
        (tensors(50, 7, 4) | {"fc.0.bias": np.zeros(3)}, "fc.0.bias is shape"),
        (tensors(50, 7, 4) | {"fc.2.weight": np.zeros((4, 9))}, "9 -> 4"),
    ],
)
def test_another_network_is_refused_by_name(file, arrays, found):
    path = file(arrays)
    with pytest.raises(ValueError, match="expected fc.0, fc.2, fc.4") as error:
        inverse_transform.read(path)
    assert path in str(error.value) and found in str(error.value)


def test_a_layer_without_bias_and_a_missing_file_are_named(file):
    arrays = tensors(50, 7, 4)
    del arrays["fc.2.bias"]
    with pytest.raises(ValueError, match="fc.2.bias is no array"):
        inverse_transform.read(file(arrays))
    with pytest.raises(FileNotFoundError, match="nowhere.pth"):
        inverse_transform.read("nowhere.pth")
