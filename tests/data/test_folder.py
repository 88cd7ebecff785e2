"""Folders of pairs, and what is said about those that will not do."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.folder import Folder, PairSource, read_class_table, read_names
from jaxseg.data.source import PictureError, UnknownLabelError
from tests.data.conftest import write_pairs, write_table


def test_pairs_are_sorted_and_read(tree):
    source = Folder(root=str(tree)).source("train")
    assert len(source) == 7
    assert source.name(3) == str(tree / "train/images/frame_03.png")
    example, file = source[3], tree / "train/labels/frame_03.png"
    raw = np.asarray(Image.open(file))
    np.testing.assert_array_equal(example["label"], np.where(raw == 3, 255, raw))
    image = np.asarray(Image.open(tree / "train/images/frame_03.png"))
    np.testing.assert_array_equal(example["image"], image)


def test_a_list_of_pairs_is_a_source(tree):
    dataset = Folder(root=str(tree))
    pairs = dataset.pairs("train")[2:4] + dataset.pairs("val")[:1]
    source = PairSource(pairs, dataset.labels)
    assert [pair.name for pair in pairs] == ["frame_02", "frame_03", "frame_00"]
    assert len(source) == 3 and source[2]["label"].shape == (24, 32)


@pytest.mark.parametrize("void", [0, 255])
def test_void_is_what_the_table_says(tmp_path, void):
    write_table(tmp_path, ids=(7, 5, 9), ignore_id=void)
    folders = (tmp_path / "train/images", tmp_path / "train/labels")
    write_pairs(*folders, 1, raw_ids=(void, 7, 5, 9))
    dataset = Folder(root=str(tmp_path))
    found = dataset.source("train")[0]["label"]
    raw = np.asarray(Image.open(folders[1] / "frame_00.png"))
    for stored, train_id in ((7, 0), (5, 1), (9, 2), (void, 255)):
        np.testing.assert_array_equal(found == train_id, raw == stored)


def test_void_is_found_by_name_without_ignore_id(tree):
    file = tree / "classes.json"
    table = json.loads(file.read_text())
    del table["ignore_id"]
    file.write_text(json.dumps(table))
    assert read_class_table(file).ignored_raw_ids == (3,)


def test_a_list_chooses_and_orders(tree):
    (tree / "train/list.txt").write_text("frame_04\nframe_01.png\n\n")
    source = Folder(root=str(tree)).source("train")
    assert [source.name(i)[-6:-4] for i in range(len(source))] == ["04", "01"]


def test_names_of_a_list_keep_their_dots():
    assert read_names(["a/x.0001.png", "x.0002", "x.0002"]) == ["x.0001", "x.0002"]


def test_a_listed_picture_that_is_missing_is_named(tree):
    (tree / "train/list.txt").write_text("frame_04\nframe_99\n")
    with pytest.raises(FileNotFoundError, match="1 of 2 .* not there: frame_99"):
        Folder(root=str(tree)).source("train")


def test_a_missing_folder_is_named_with_layout_and_origin(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        Folder(root=str(tmp_path / "nowhere")).source("train")
    for part in (str(tmp_path / "nowhere"), "<split>/images", "classes.json"):
        assert part in str(error.value)


def test_an_unset_variable_is_named(monkeypatch):
    monkeypatch.delenv("JAXSEG_NOWHERE", raising=False)
    with pytest.raises(ValueError, match="JAXSEG_NOWHERE, which is not set"):
        Folder(root="$JAXSEG_NOWHERE/x").source("train")


def test_variables_are_expanded(tree, monkeypatch):
    monkeypatch.setenv("JAXSEG_SOMEWHERE", str(tree.parent))
    assert len(Folder(root="$JAXSEG_SOMEWHERE/made").source("val")) == 5


def test_an_incomplete_folder_counts_and_names_what_lacks(tree):
    for i in range(5):
        (tree / f"train/labels/frame_{i:02}.png").unlink()
    (tree / "train/images/frame_06.png").unlink()
    with pytest.raises(ValueError) as error:
        Folder(root=str(tree)).source("train")
    for part in (
        "5 of 6 pictures have no label: frame_00, frame_01, frame_02 and 2 more",
        "1 of 2 labels have no picture: frame_06",
        str(tree),
        "Get it from",
    ):
        assert part in str(error.value)


def test_an_empty_split_is_an_error(tree):
    (tree / "test/images").mkdir(parents=True)
    with pytest.raises(ValueError, match="no pictures"):
        Folder(root=str(tree)).source("test")


def test_an_unknown_split_lists_those_there_are(tree):
    with pytest.raises(ValueError, match="no split 'tset'; it has train, val"):
        Folder(root=str(tree)).source("tset")


def test_two_files_of_one_name_are_an_error(tree):
    file = tree / "train/images/frame_00.png"
    file.with_suffix(".jpg").write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match="frame_00.jpg, frame_00.png"):
        Folder(root=str(tree)).source("train")


def test_files_of_the_system_are_no_pictures(tree):
    (tree / "train/images/._frame_00.png").write_bytes(b"x")
    (tree / "train/images/Thumbs.db").write_bytes(b"x")
    assert len(Folder(root=str(tree)).source("train")) == 7


@pytest.mark.parametrize("text", ["{", "[]", '{"classes": [{"id": 0}]}'])
def test_a_broken_table_is_named(tree, text):
    (tree / "classes.json").write_text(text)
    with pytest.raises(ValueError, match="classes.json is no class table"):
        _ = Folder(root=str(tree)).labels


def test_a_missing_table_is_named(tree):
    (tree / "classes.json").unlink()
    with pytest.raises(FileNotFoundError, match="no class table at .*classes.json"):
        Folder(root=str(tree)).source("train")


def test_an_id_outside_the_table_names_file_and_id(tmp_path):
    write_table(tmp_path)
    folders = (tmp_path / "train/images", tmp_path / "train/labels")
    write_pairs(*folders, 1, raw_ids=(0, 1, 200))
    with pytest.raises(UnknownLabelError, match=r"labels/frame_00\.png .* 200 \("):
        Folder(root=str(tmp_path)).source("train")[0]


def test_a_mask_of_another_size_names_both_files(tree):
    write_pairs(tree / "x", tree / "train/labels", 1, size=(10, 12))
    with pytest.raises(PictureError, match=r"32x24 .*labels/frame_00\.png is 12x10"):
        Folder(root=str(tree)).source("train")[0]


def test_an_unknown_form_is_refused(tree):
    with pytest.raises(ValueError, match="'folder' or 'tfds': 'tfrecord'"):
        Folder(root=str(tree), form="tfrecord")
