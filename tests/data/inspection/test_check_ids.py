"""Faults of the masks: each is planted and named, with the line that mends it."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import save
from tests.data.inspection.conftest import findings, only, rewrite

COLOURS = np.array([(0, 0, 0), (255, 0, 0), (0, 0, 255)], np.uint8)


def set_table(root, ids, rgb=False, **others):
    classes = [{"id": i, "name": f"c{i}"} for i in ids]
    for entry in classes if rgb else ():
        entry["rgb"] = COLOURS[entry["id"]].tolist()
    (root / "classes.json").write_text(json.dumps({"classes": classes, **others}))


def test_black_and_white_masks_are_named(clean):
    rewrite(clean, lambda ids: np.where(ids == 1, 255, 0).astype(np.uint8))
    found = only(clean, "black_and_white_masks")
    assert found.count == 9 and found.fix == "config.data.class_ids=(0, 255)"
    assert not findings(clean, class_ids=(0, 255))


def test_black_and_white_masks_are_named_without_a_table(clean):
    (clean / "classes.json").unlink()
    rewrite(clean, lambda ids: np.where(ids == 1, 255, 0).astype(np.uint8))
    only(clean, "black_and_white_masks")
    assert not findings(clean, class_ids=(0, 255))


def test_coloured_masks_are_named_and_mended_by_the_table(clean):
    rewrite(clean, lambda ids: COLOURS[ids % 3])
    found = only(clean, "coloured_masks")
    assert found.count == 9 and 'config.data.masks="rgb"' in found.fix
    assert '"rgb": [255, 0, 0]' in found.fix  # the table has one colour for all
    set_table(clean, (0, 1, 2), rgb=True)
    assert only(clean, "coloured_masks").fix == 'config.data.masks="rgb"'
    assert not findings(clean, masks="rgb")


def test_coloured_masks_without_a_table_are_named(clean):
    (clean / "classes.json").unlink()
    rewrite(clean, lambda ids: COLOURS[ids % 3])
    only(clean, "coloured_masks")


def test_smoothed_masks_of_colours_are_named(clean):
    rewrite(clean, lambda ids: COLOURS[ids % 3])
    smooth = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    save(clean / "train/masks/frame_00.png", smooth)
    assert "smoothed" in only(clean, "coloured_masks").fix


def test_a_colour_in_no_class_is_named(clean):
    set_table(clean, (0, 1, 2), rgb=True)
    rewrite(clean, lambda ids: COLOURS[ids % 3])
    mask = np.asarray(Image.open(clean / "train/masks/frame_00.png")).copy()
    mask[:2, :3] = (7, 7, 7)
    save(clean / "train/masks/frame_00.png", mask)
    found = only(clean, "unknown_colours", masks="rgb")
    assert "(7, 7, 7) (6 pixels)" in found.text and found.level == "error"
    assert found.files == (clean / "train/masks/frame_00.png",)
    ignored = only(clean, "unknown_colours", masks="rgb", unknown="ignore")
    assert ignored.level == "note"


def test_masks_that_count_from_one_are_named(clean):
    rewrite(clean, lambda ids: np.where(ids == 255, 255, ids + 1).astype(np.uint8))
    found = only(clean, "off_by_one")
    assert "ids 0..2, the masks 1..3 and never 0" in found.text and found.count == 9
    assert found.fix == "add 1 to every id in classes.json"
    set_table(clean, (1, 2, 3))
    assert not findings(clean)


def test_masks_that_count_from_one_with_unlabelled_zero_are_named(clean):
    rewrite(clean, lambda ids: np.where(ids == 255, 0, ids + 1).astype(np.uint8))
    found = only(clean, "off_by_one")
    assert "config.data.ignore_id=0" in found.fix
    set_table(clean, (1, 2, 3))
    assert not findings(clean, ignore_id=0)


def test_the_config_line_that_shifts_ids_mends_them(clean):
    (clean / "classes.json").unlink()
    rewrite(clean, lambda ids: np.where(ids == 255, 255, ids + 1).astype(np.uint8))
    found = only(clean, "off_by_one", class_ids=(0, 1, 2))
    assert found.fix == "config.data.class_ids=(1, 2, 3)"
    assert not findings(clean, class_ids=(1, 2, 3))


def test_a_table_that_counts_from_one_is_named(clean):
    set_table(clean, (1, 2, 3))
    found = only(clean, "off_by_one")
    assert "ids 1..3, the masks 0..2" in found.text


def test_zero_that_is_no_class_is_named_as_unlabelled(clean):
    set_table(clean, (1, 2))
    found = only(clean, "unknown_ids")
    assert found.fix.startswith("config.data.ignore_id=(0,)")
    assert not findings(clean, ignore_id=(0,))


def test_unknown_ids_are_counted_and_named(clean):
    mask = np.asarray(Image.open(clean / "val/masks/frame_00.png")).copy()
    mask[0, :3], mask[1, :2] = 77, 99
    save(clean / "val/masks/frame_00.png", mask)
    found = only(clean, "unknown_ids")
    assert found.count == 2 and "in 1 of 9 masks" in found.text
    assert "77 (3 pixels), 99 (2 pixels)" in found.text
    assert found.files == (clean / "val/masks/frame_00.png",)
    assert not findings(clean, ignore_id=(77, 99))
    assert only(clean, "unknown_ids", unknown="ignore").level == "note"


def test_classes_without_a_pixel_are_named(clean):
    set_table(clean, (0, 1, 2, 8))
    found = only(clean, "empty_classes")
    assert "c8 (8)" in found.text and "config.data.ignore_id=(8,)" in found.fix
    assert not findings(clean, ignore_id=(8,))


def test_classes_that_are_not_scored_are_a_note(clean):
    rewrite(clean, lambda ids: np.where(ids == 2, 1, ids).astype(np.uint8), ["val"])
    found = only(clean, "unscored_classes")
    assert found.level == "note" and "car (2)" in found.text


def test_masks_without_a_labelled_pixel_are_named(clean):
    file = save(clean / "train/masks/frame_03.png", np.full((24, 32), 255, np.uint8))
    assert only(clean, "unlabelled_masks").files == (file,)


def test_masks_of_one_class_are_named(clean):
    (clean / "classes.json").unlink()
    rewrite(clean, lambda ids: np.full_like(ids, 3))
    assert "one class only, [3]" in only(clean, "single_class").text


@pytest.mark.parametrize("table", [False, True])
def test_one_class_beside_an_ignored_background_is_named(clean, table):
    rewrite(clean, lambda ids: (ids == 1).astype(np.uint8))
    (clean / "classes.json").unlink()
    if table:
        set_table(clean, (0, 1), ignore_id=0)
    found = only(clean, "single_class", ignore_id=() if table else 0)
    assert found.level == "error" and "Is an unlabelled id the background" in found.text


def test_leaving_all_classes_but_one_out_is_not_advised(clean):
    set_table(clean, (0, 1))
    rewrite(clean, np.zeros_like)
    assert only(clean, "empty_classes").fix == "add pictures of them"


def test_grey_levels_are_named(clean):
    (clean / "classes.json").unlink()
    levels = np.arange(24 * 32).reshape(24, 32) % 256
    rewrite(clean, lambda ids: levels.astype(np.uint8))
    assert "255 different ids" in only(clean, "ids_are_no_classes").text


@pytest.mark.parametrize("text", ["{", '{"classes": []}'])
def test_a_broken_table_is_named(clean, text):
    (clean / "classes.json").write_text(text)
    assert "classes.json is no class table" in only(clean, "class_table").text
