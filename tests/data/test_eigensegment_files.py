"""Masks of a bit a node, written whole and read back."""

import numpy as np
import pytest

from jaxseg.data import eigensegment_files
from jaxseg.data.eigensegment_files import Eigensegments

FOUND = Eigensegments(
    np.random.default_rng(0).random((5, 7, 3)) < 0.5, (41, 60), (40, 56)
)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "a.npz"
    eigensegment_files.write(path, FOUND)
    read = eigensegment_files.read(path)
    np.testing.assert_array_equal(read.masks, FOUND.masks)
    assert read.size == (41, 60) and read.covered == (40, 56)
    assert [p.name for p in path.parent.iterdir()] == ["a.npz"]


def test_a_node_takes_a_bit(tmp_path):
    eigensegment_files.write(tmp_path / "a.npz", FOUND)
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["masks"].nbytes == -(-5 * 7 * 3 // 8)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "a.npz"
    eigensegment_files.write(path, FOUND)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="a.npz holds no eigensegments.*delete it"):
        eigensegment_files.read(path)
    with pytest.raises(FileNotFoundError, match="there is no file.*b.npz"):
        eigensegment_files.read(tmp_path / "b.npz")
