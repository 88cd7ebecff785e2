"""Classes of masks without a table."""

import os

import numpy as np
import pytest
from absl import logging
from PIL import Image

from jaxseg.data import found_classes
from jaxseg.data.source import PictureError
from tests.data.conftest import save


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches/jaxseg/classes"


def write(tmp_path, *masks):
    masks = [np.array(mask, np.uint8) for mask in masks]
    return [save(tmp_path / f"{i}.png", mask) for i, mask in enumerate(masks)]


def test_every_id_but_255_is_a_class(tmp_path):
    labels = found_classes.find(write(tmp_path, [[3, 0]], [[7, 255]]), where="x")
    assert labels.class_raw_ids == (0, 3, 7) and labels.ignored_raw_ids == (255,)
    assert labels.names == ("class_0", "class_3", "class_7")
    assert len(set(labels.palette)) == 3


def test_palette_masks_give_their_colours(tmp_path):
    picture = Image.fromarray(np.array([[0, 2, 1]], np.uint8))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "a.png")
    labels = found_classes.find([tmp_path / "a.png"], where="x")
    assert labels.palette == ((10, 20, 30), (40, 50, 60), (70, 80, 90))


def test_a_palette_of_one_colour_is_not_used(tmp_path):
    picture = Image.fromarray(np.array([[0, 2, 1]], np.uint8))
    picture.putpalette([0, 0, 0] * 3)
    picture.save(tmp_path / "a.png")
    assert len(set(found_classes.find([tmp_path / "a.png"], where="x").palette)) == 3


def test_the_second_time_no_mask_is_read(tmp_path, monkeypatch):
    masks = write(tmp_path, [[3, 0]], [[7, 255]])
    first = found_classes.find(masks, where="x")
    monkeypatch.setattr(found_classes, "scan", None)
    assert found_classes.find(masks, where="x") == first


def test_a_changed_mask_is_read_again(tmp_path):
    masks = write(tmp_path, [[3, 0]])
    found_classes.find(masks, where="x")
    save(masks[0], np.array([[4, 0]], np.uint8))
    os.utime(masks[0], ns=(1, 1))
    assert found_classes.find(masks, where="x").class_raw_ids == (0, 4)


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    labels = found_classes.find(write(tmp_path, [[3, 0]]), where="x")
    assert labels.num_classes == 2
    assert "not kept" in caplog.text


@pytest.mark.parametrize(
    "mask, why",
    [
        ([[0, 255]], r"config\.data\.class_ids=\(0, 255\)"),
        ([[3, 3]], r"one class only, \[3\]"),
        ([[255]], "one class only, unlabelled"),
        (np.arange(256)[None], "255 different ids .*grey levels"),
    ],
)
def test_masks_that_make_no_classes_are_errors(tmp_path, mask, why):
    with pytest.raises(ValueError, match=why):
        found_classes.find(write(tmp_path, mask), where="x")


def test_no_masks_are_an_error():
    with pytest.raises(ValueError, match="neither classes.json nor masks"):
        found_classes.find([], where="x")


def test_one_broken_mask_is_named_and_the_others_count(tmp_path, caplog):
    masks = write(tmp_path, [[0, 1]], [[0, 2]])
    masks[0].write_bytes(b"")
    assert found_classes.find(masks, where="x").class_raw_ids == (0, 2)
    assert "1 of 2 masks cannot be read" in caplog.text and "0.png" in caplog.text


def test_only_broken_masks_are_an_error(tmp_path):
    masks = write(tmp_path, [[0, 1]])
    save(masks[0], np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(PictureError, match="colour picture"):
        found_classes.find(masks, where="x")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_ids_are_counted_as_numpy_does(monkeypatch, dtype):
    raw = np.random.default_rng(0).integers(0, 9, (20, 30)).astype(dtype)
    values, counts = np.unique(raw, return_counts=True)
    monkeypatch.setattr("jaxseg.data.mask_colours._BLOCK", 60)
    found = found_classes.count_ids(raw)
    assert found == dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_the_log_tells_what_was_found(tmp_path, caplog):
    logging.set_verbosity(logging.INFO)
    found_classes.find(write(tmp_path, [[3, 3, 3, 255]], [[0, 0, 0, 0]]), where="here")
    assert "here: 2 classes found in 2 masks: 0 (50 %), 3 (38 %)" in caplog.text
