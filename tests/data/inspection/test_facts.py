"""What is remembered of a picture and of a mask."""

import numpy as np
from PIL import Image

from jaxseg.data import mask_colours
from jaxseg.data.inspection import facts
from tests.data.conftest import save
from tests.data.inspection.conftest import noise


def test_a_picture_is_its_size_mode_and_pixels(tmp_path):
    found = facts.of_image(save(tmp_path / "a.png", noise()))
    other = facts.of_image(save(tmp_path / "b.png", noise(seed=1)))
    assert found.size == (24, 32) and found.mode == "RGB" and found.orientation == 1
    assert found.digest != other.digest and not found.problem


def test_the_digest_is_of_pixels_in_their_shape(tmp_path):
    flat = np.zeros((4, 6, 3), np.uint8)
    files = [save(tmp_path / "a.png", flat), save(tmp_path / "b.bmp", flat)]
    turned = save(tmp_path / "c.png", flat.reshape(6, 4, 3))
    first, second, third = (facts.of_image(file).digest for file in (*files, turned))
    assert first == second != third


def test_a_mask_is_the_pixels_of_its_ids(tmp_path):
    found = facts.of_mask(save(tmp_path / "a.png", np.array([[0, 7, 7]], np.uint8)))
    assert found.counts == {0: 1, 7: 2} and not found.in_colour
    assert found.size == (1, 3)


def test_a_mask_of_colours_is_the_pixels_of_its_colours(tmp_path):
    mask = np.array([[(1, 2, 3), (9, 8, 7), (9, 8, 7)]], np.uint8)
    found = facts.of_mask(save(tmp_path / "a.png", mask))
    keys = {mask_colours.unpack(key): n for key, n in found.counts.items()}
    assert found.in_colour and keys == {(1, 2, 3): 1, (9, 8, 7): 2}


def test_a_palette_mask_is_ids_or_colours(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.save(tmp_path / "a.png")
    assert facts.of_mask(tmp_path / "a.png").counts == {0: 1, 1: 1}
    shown = facts.of_mask(tmp_path / "a.png", as_colours=True)
    assert shown.counts == {0: 1, 255 << 16: 1}


def test_a_mask_that_is_no_picture_is_made_one(tmp_path):
    png = save(tmp_path / "a.png", np.array([[0, 7, 7]], np.uint8)).read_bytes()
    found = facts.of_mask(tmp_path / "a.mat", plain=lambda file: png)
    assert found.counts == {0: 1, 7: 2} and found.file == tmp_path / "a.mat"


def test_only_the_commonest_colours_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "MAX_VALUES", 5)
    found = facts.of_mask(save(tmp_path / "a.png", noise()))
    assert len(found.counts) == 5 and found.num_values > 700


def test_what_cannot_be_read_is_a_problem_with_its_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    for read in (facts.of_image, facts.of_mask):
        assert "a.png" in read(tmp_path / "a.png").problem
