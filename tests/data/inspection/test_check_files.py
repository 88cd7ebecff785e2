"""Faults of the files: each is planted and named."""

import shutil

import pytest
from PIL import Image

from jaxseg.data.imagenet_s import ImageNetS
from jaxseg.data.inspection import inspect
from tests.data import layouts
from tests.data.inspection.conftest import findings, noise, only


def test_pictures_without_masks_are_counted_and_named(clean):
    for i in (1, 3):
        (clean / f"train/masks/frame_0{i}.png").unlink()
    found = only(clean, "unpaired_pictures")
    assert found.level == "error" and found.count == 2
    assert [file.stem for file in found.files] == ["frame_01", "frame_03"]
    assert "train" in found.text and "<split>.txt" in found.fix


def test_masks_without_pictures_are_counted_and_named(clean):
    (clean / "val/images/frame_02.png").unlink()
    found = only(clean, "unpaired_masks")
    assert found.count == 1 and found.files == (clean / "val/masks/frame_02.png",)


def test_two_files_of_one_name_are_named(clean):
    file = clean / "val/images/frame_00.png"
    Image.open(file).save(file.with_suffix(".bmp"))
    found = only(clean, "ambiguous_files")
    assert "frame_00.bmp, frame_00.png" in found.text


def test_a_list_of_what_is_not_there_is_named(clean):
    (clean / "val/list.txt").write_text("frame_00\nframe_77\n")
    assert (
        "1 pictures that are not there: frame_77" in only(clean, "ambiguous_files").text
    )


def test_an_empty_split_is_named(clean):
    (clean / "test/images").mkdir(parents=True)
    assert "'test' has no pictures" in only(clean, "empty_split").text


def test_a_test_split_without_masks_is_a_note(clean):
    shutil.copytree(clean / "train/images", clean / "test/images")
    for file in (clean / "test/images").iterdir():
        Image.fromarray(noise(24, 32, 3, seed=100 + int(file.stem[-2:]))).save(file)
    found = only(clean, "no_masks")
    assert found.level == "note" and found.count == 5


@pytest.mark.parametrize(
    "gone, kind, fix",
    [
        ("train", "no_training_split", 'config.data.split="val"'),
        ("val", "no_validation_split", "move a tenth"),
    ],
)
def test_a_missing_split_is_named(clean, gone, kind, fix):
    shutil.rmtree(clean / gone)
    assert fix in only(clean, kind).fix


@pytest.mark.parametrize(
    "name, level, fix",
    [
        ("validation", "note", 'config.evals.val.split="validation"'),
        ("test", "warning", 'config.evals.val.split="test"'),
        ("all", "warning", "move a tenth"),
        ("train_semi", "warning", "move a tenth"),
    ],
)
def test_only_a_split_to_score_stands_in_for_val(clean, name, level, fix):
    (clean / "val").rename(clean / name)
    found = only(clean, "no_validation_split")
    assert found.level == level and fix in found.fix


def test_a_split_without_masks_does_not_stand_in_for_val(clean):
    (clean / "val").rename(clean / "test")
    shutil.rmtree(clean / "test/masks")
    assert "move a tenth" in findings(clean)["no_validation_split"].fix


def test_splits_that_are_published_without_masks_pass(tmp_path):
    root = layouts.imagenet_s(tmp_path, ("n01443537",), (0, 1, 1000))
    found = inspect(ImageNetS(root=str(root)))
    without = [f for f in found.findings if f.kind == "no_masks"]
    assert len(without) == 2 and {f.level for f in without} == {"note"}
    assert "unpaired_pictures" not in {f.kind for f in found.findings}


def test_a_training_split_without_masks_is_an_error(clean):
    shutil.rmtree(clean / "train/masks")
    assert findings(clean)["unpaired_pictures"].level == "error"


def test_a_folder_of_something_else_is_shown_the_layout(tmp_path):
    (tmp_path / "photos").mkdir()
    assert "<split>/images" in findings(tmp_path)["no_training_split"].fix


@pytest.mark.parametrize("part", ["images", "masks"])
def test_files_that_cannot_be_read_are_named(clean, part):
    file = clean / f"train/{part}/frame_02.png"
    file.write_bytes(file.read_bytes()[:-20])
    found = only(clean, "unreadable")
    assert found.files == (file,) and "cut short" in found.text
    assert 'config.data.on_error="skip"' in found.fix


def test_jpeg_masks_are_named(clean):
    file = clean / "train/masks/frame_02.png"
    Image.open(file).save(file.with_suffix(".jpg"))
    file.unlink()
    found = only(clean, "jpeg_masks")
    assert found.files == (file.with_suffix(".jpg"),)


def test_a_file_that_a_list_of_pairs_lacks_is_named(clean):
    (clean / "test.txt").write_text("train/images/frame_00.png gone.png")
    found = findings(clean)["unreadable"]
    assert found.files == (clean / "gone.png",) and "No such file" in found.text
