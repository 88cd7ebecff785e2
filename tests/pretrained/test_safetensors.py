import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.pretrained import safetensors


def write(path, arrays, names=None):
    """A file made by hand from the format's description."""
    header, data = {"__metadata__": {"origin": "here"}}, b""
    for name, (dtype, array) in arrays.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = dict(dtype=dtype, shape=array.shape, data_offsets=offsets)
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


ARRAYS = {
    "a": ("F32", np.arange(6, dtype=np.float32).reshape(2, 3)),
    "b": ("BF16", np.asarray([1.5, -2], jnp.bfloat16)),
    "c": ("I64", np.array(7)),
}


def test_reads_what_was_written(tmp_path):
    arrays = safetensors.read(write(tmp_path / "x.safetensors", ARRAYS))
    assert set(arrays) == set(ARRAYS)
    for name, (_, wanted) in ARRAYS.items():
        assert arrays[name].dtype == wanted.dtype
        np.testing.assert_array_equal(arrays[name], wanted)


@pytest.mark.parametrize("kept, message", [(30, "within its header"), (-3, "within c")])
def test_a_file_that_was_cut_off_says_where(tmp_path, kept, message):
    path = write(tmp_path / "x.safetensors", ARRAYS)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=message):
        safetensors.read(path)


def test_another_format_is_refused(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(b"PK\x03\x04" + b"zip archive" * 10)
    with pytest.raises(ValueError, match="not a safetensors file"):
        safetensors.read(path)


HEADER = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [3]},
        {"shape": [-2]},
        {"shape": ["2"]},
        {"shape": None},
        {"data_offsets": [0]},
        {"data_offsets": [0, 4]},
        {"data_offsets": [-8, 0]},
        {"data_offsets": [8, 0]},
        {"dtype": ["F32"]},
    ],
)
def test_a_header_that_was_damaged_is_one_sentence(tmp_path, changes):
    text = json.dumps({"a": HEADER | changes}).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(8)
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged header \(a |has dtype") as error:
        safetensors.read(tmp_path / "x.safetensors")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", [b"{broken", b'{"a": 5}', b'{"a":' * 99_999])
def test_a_header_that_is_no_table_is_one_sentence(tmp_path, text):
    content = len(text).to_bytes(8, "little") + text + bytes(8)
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="x.safetensors has a damaged header"):
        safetensors.read(tmp_path / "x.safetensors")


def test_an_unknown_dtype_is_named(tmp_path):
    path = write(tmp_path / "x.safetensors", {"a": ("F8_E4M3", np.zeros(2, np.int8))})
    with pytest.raises(ValueError, match="a has dtype F8_E4M3"):
        safetensors.read(path)


def test_what_is_written_is_read_back(tmp_path):
    arrays = {name: array for name, (_, array) in ARRAYS.items()}
    safetensors.write(tmp_path / "x.safetensors", arrays)
    back = safetensors.read(tmp_path / "x.safetensors")
    assert list(back) == list(arrays)
    for name, wanted in arrays.items():
        assert back[name].dtype == wanted.dtype
        np.testing.assert_array_equal(back[name], wanted)


def test_a_dtype_that_the_format_lacks_is_named(tmp_path):
    with pytest.raises(ValueError, match="z has dtype complex"):
        safetensors.write(tmp_path / "x.safetensors", {"z": np.zeros(2, complex)})
    assert not list(tmp_path.iterdir())


def test_the_format_s_own_package_reads_it(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    arrays = {"a": ARRAYS["a"][1], "c": ARRAYS["c"][1]}
    safetensors.write(tmp_path / "x.safetensors", arrays)
    back = package.load_file(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(back["a"], arrays["a"])
