"""The content of a file decides how it is read, and a wrong one is one sentence."""

import pickle
import zipfile

import numpy as np
import pytest

from jaxseg.pretrained import readers
from tests.pretrained import test_pytorch, test_safetensors

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b/c": np.array(7)}


def npz(path, arrays=ARRAYS):
    with open(path, "wb") as file:  # np.savez would append .npz
        np.savez(file, **arrays)
    return path


def assert_same(found, arrays):
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("name", ["x.npz", "x.pth", "x"])
def test_reads_npz(tmp_path, name):
    assert_same(readers.read(npz(tmp_path / name)), ARRAYS)


def test_reads_compressed_npz(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", **ARRAYS)
    assert_same(readers.read(tmp_path / "x.npz"), ARRAYS)


def test_reads_safetensors_under_any_name(tmp_path):
    path = test_safetensors.write(tmp_path / "x.bin", test_safetensors.ARRAYS)
    arrays = {name: array for name, (_, array) in test_safetensors.ARRAYS.items()}
    assert_same(readers.read(path), arrays)


@test_pytorch.FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_pytorch_under_any_name(torch, tmp_path, is_zip, protocol):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b/c": torch.tensor(7)}
    path = tmp_path / "x.safetensors"
    test_pytorch.saved(torch, tensors, path, is_zip, pickle_protocol=protocol)
    assert_same(readers.read(path), ARRAYS)


WRONG = {
    "empty": (b"", "is empty"),
    "page": (b"\n<!DOCTYPE html><html>Not found", "is a web page.*download link"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "text": (b"weights: none\n", "is a text that begins with 'weights: none"),
    "json": (b'{"weight_map": {"a": "model-1.safetensors"}}', "is a text that begins"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(40), "is a picture"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(40), "is a picture"),
    "pickle": (pickle.dumps({"a": 1}), "is a Python pickle that torch.save did not"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "is an HDF5 file"),
    "gzip": (b"\x1f\x8b\x08" + bytes(40), "is compressed by gzip.*unpack it"),
    "tar": (bytes(257) + b"ustar" + bytes(250), "is a tar archive"),
    "npy": (b"\x93NUMPY\x01\x00v\x00", "is a single array by np.save"),
    "zeros": (bytes(600), "is of no known format"),
    "noise": (bytes(range(255, 0, -1)), "is of no known format"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_of_another_kind_is_one_sentence(tmp_path, kind):
    content, message = WRONG[kind]
    path = tmp_path / f"{kind}.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        readers.read(path)
    text = str(error.value)
    assert text.startswith(str(path)) and "\n" not in text
    assert "not a file of weights: expected a .safetensors file" in text


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no weights file .*/nothing"):
        readers.read(tmp_path / "nothing")
    with pytest.raises(ValueError, match="is a folder and not a file of weights"):
        readers.read(tmp_path)


def test_a_zip_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("readme.txt", "no weights")
    with pytest.raises(ValueError, match="zip archive with readme.txt in it"):
        readers.read(tmp_path / "x.zip")


def test_a_zip_archive_that_was_cut_off(tmp_path):
    path = npz(tmp_path / "x.npz")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(
        ValueError, match=r"x\.npz is a zip archive.*cut off or damaged"
    ):
        readers.read(path)


def test_an_npz_of_objects_is_refused_and_they_are_not_made(tmp_path):
    trace = tmp_path / "trace"
    evil = np.array([test_pytorch.Evil(open, str(trace), "w")], object)
    path = npz(tmp_path / "x.npz", {"a": np.ones(2), "evil": evil})
    with pytest.raises(
        ValueError, match="evil cannot be read, because it holds Python"
    ):
        readers.read(path)
    assert not trace.exists()


def test_an_array_of_an_npz_that_was_damaged(tmp_path):
    path = npz(tmp_path / "x.npz", {"a": np.full(100, 2.0)})
    content = bytearray(path.read_bytes())
    content[content.index(np.full(9, 2.0).tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a cannot be read.*CRC.*download it again"):
        readers.read(path)
