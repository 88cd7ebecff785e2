"""Faults of the pictures: each is planted and named."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.inspection import check_pictures
from tests.data.conftest import save
from tests.data.inspection.conftest import noise, only


def tag(file, orientation, image=None):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.open(file) if image is None else Image.fromarray(image)
    picture.save(file, exif=exif)
    return file


def test_a_mask_of_another_size_is_named(clean):
    save(clean / "train/masks/frame_01.png", np.zeros((10, 12), np.uint8))
    found = only(clean, "size_mismatch")
    assert found.files == (clean / "train/images/frame_01.png",)
    assert "is 32x24 and its mask 12x10" in found.text


def test_photos_that_are_turned_to_their_masks_are_a_note(clean):
    file = tag(clean / "train/images/frame_01.png", 6, noise(32, 24, 3))
    found = only(clean, "turned_pictures")
    assert found.level == "note" and found.files == (file,)


def test_photos_with_masks_of_the_stored_size_are_a_note(clean):
    tag(clean / "train/images/frame_01.png", 6)
    assert only(clean, "stored_pictures").level == "note"


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_tags_that_keep_the_size_are_a_warning(clean, orientation):
    file = tag(clean / "train/images/frame_01.png", orientation)
    found = only(clean, "unclear_rotation")
    assert found.level == "warning" and found.files == (file,)


def test_square_photos_with_a_tag_are_a_warning(clean):
    save(clean / "train/masks/frame_01.png", np.ones((20, 20), np.uint8))
    tag(clean / "train/images/frame_01.png", 6, noise(20, 20, 3))
    assert only(clean, "unclear_rotation").count == 1


def test_pictures_of_sixteen_bits_are_named(clean):
    image = np.random.default_rng(0).integers(0, 65536, (24, 32)).astype(np.uint16)
    save(clean / "train/images/frame_01.png", image)
    assert "upper 8" in only(clean, "sixteen_bits").text


def test_cmyk_pictures_are_named(clean):
    file = clean / "train/images/frame_01.png"
    Image.open(file).convert("CMYK").save(file.with_suffix(".jpg"))
    file.unlink()
    assert only(clean, "cmyk").files == (file.with_suffix(".jpg"),)


def test_pictures_smaller_than_the_crop_are_a_note(clean):
    save(clean / "train/images/frame_01.png", noise(16, 30, 3))
    save(clean / "train/masks/frame_01.png", np.ones((16, 30), np.uint8))
    found = only(clean, "small_pictures", crop=(24, 32))
    assert found.level == "note" and found.count == 1
    assert "config.data.crop=(16, 30)" in found.fix


def test_very_large_pictures_are_named(clean, monkeypatch):
    monkeypatch.setattr(check_pictures, "LARGE", 24 * 32)
    save(clean / "train/images/frame_01.png", noise(25, 32, 3))
    save(clean / "train/masks/frame_01.png", np.ones((25, 32), np.uint8))
    found = only(clean, "large_pictures")
    assert "up to 32x25" in found.text and "tiles" in found.fix
