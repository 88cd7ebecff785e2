"""Rotation tags and Pillow's limit; what files do when read is in `test_pictures`."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from jaxseg.data import picture_files
from jaxseg.data.source import PictureError


def tagged(tag, kind="PNG"):
    exif = Image.Exif()
    exif[0x0112] = tag
    data = io.BytesIO()
    pixels = np.arange(6 * 10 * 3, dtype=np.uint8).reshape(6, 10, 3)
    Image.fromarray(pixels).save(data, kind, exif=exif)
    return picture_files.opened(data.getvalue(), "x.png")


@pytest.mark.parametrize("tag", range(1, 9))
def test_every_tag_turns_as_pillow_does(tag):
    file = tagged(tag)
    found = picture_files.turned(picture_files.pixels(file, "x.png"), tag)
    assert picture_files.orientation(file) == tag
    np.testing.assert_array_equal(found, np.asarray(ImageOps.exif_transpose(file)))


def test_a_tag_that_means_nothing_is_upright():
    assert picture_files.orientation(tagged(77)) == 1


def test_tiffs_are_turned_by_their_decoder():
    file = tagged(6, "TIFF")
    assert picture_files.orientation(file) == 1
    assert picture_files.pixels(file, "x.tif").shape == (10, 6, 3)


def test_a_limit_that_the_user_lifted_stays_lifted(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    picture_files._allow_large_pictures.cache_clear()
    tagged(1)
    assert Image.MAX_IMAGE_PIXELS is None
    picture_files._allow_large_pictures.cache_clear()  # for the tests after this one


def test_sizes_are_read_from_headers(tmp_path):
    Image.new("RGB", (10, 6)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[:-20])
    assert picture_files.read_size(tmp_path / "a.png") == (6, 10)
    assert picture_files.read_size(tmp_path / "cut.png") == (6, 10)


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_size_that_cannot_be_read_is_an_error(tmp_path, content):
    if content:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PictureError, match=r"cannot read .*a\.png"):
        picture_files.read_size(tmp_path / "a.png")
