"""Folders of pairs, and what is said about those that will not do."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import found_classes
from jaxseg.data.folder import Folder, PairSource, read_class_table, read_names
from jaxseg.data.source import PictureError, UnknownLabelError
from tests.data.conftest import save, write_pairs, write_table


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


def test_sizes_and_masks_come_without_the_picture(tree):
    source = Folder(root=str(tree)).source("train")
    (tree / "train/images/frame_03.png").write_bytes(b"")
    assert source.size(3) == (24, 32)
    raw = np.asarray(Image.open(tree / "train/labels/frame_03.png"))
    np.testing.assert_array_equal(source.label(3), np.where(raw == 3, 255, raw))


def test_an_empty_root_is_an_error():
    with pytest.raises(ValueError, match="config.data.root is the folder"):
        Folder(root="")


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


def test_one_class_beside_an_ignored_background_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    folders = (tmp_path / "train/images", tmp_path / "train/masks")
    write_pairs(*folders, 2, raw_ids=(0, 1))
    assert Folder(root=str(tmp_path)).labels.num_classes == 2
    with pytest.raises(ValueError, match=r"'class_1' \(id 1\).*the background\?"):
        Folder(root=str(tmp_path), ignore_id=0).source("train")


def test_one_class_of_a_table_is_an_error(tmp_path):
    write_pairs(tmp_path / "train/images", tmp_path / "train/masks", 2, raw_ids=(0, 1))
    classes = [{"id": 0, "name": "wall"}, {"id": 1, "name": "crack"}]
    table = {"ignore_id": 0, "classes": classes}
    (tmp_path / "classes.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r"one class, 'crack' .* unlabelled is 0\."):
        Folder(root=str(tmp_path)).source("train")


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


def test_without_a_table_the_masks_tell_the_classes(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tree / "classes.json").unlink()
    dataset = Folder(root=str(tree), ignore_id=3)
    assert dataset.labels.names == ("class_0", "class_1", "class_2")
    raw = np.asarray(Image.open(tree / "val/labels/frame_00.png"))
    found = dataset.source("val")[0]["label"]
    np.testing.assert_array_equal(found, np.where(raw == 3, 255, raw))


def test_masks_of_a_split_without_pictures_count_too(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tree / "classes.json").unlink()
    (tree / "test/images").mkdir(parents=True)
    save(tree / "test/masks/a.png", np.full((4, 4), 9, np.uint8))
    assert Folder(root=str(tree)).labels.class_raw_ids == (0, 1, 2, 3, 9)


def test_classes_may_be_given_instead_of_found(tree, monkeypatch):
    monkeypatch.setattr(found_classes, "find", None)
    (tree / "classes.json").unlink()
    labels = Folder(root=str(tree), class_ids=(0, 1, 2), ignore_id=(3,)).labels
    assert labels.names == ("class_0", "class_1", "class_2")
    assert labels.ignored_raw_ids == (3, 255)


def test_black_and_white_masks_are_two_classes_when_said_so(tmp_path):
    folders = (tmp_path / "train/images", tmp_path / "train/masks")
    write_pairs(*folders, 1, raw_ids=(0, 255))
    found = Folder(root=str(tmp_path), class_ids=(0, 255)).source("train")[0]["label"]
    raw = np.asarray(Image.open(folders[1] / "frame_00.png"))
    np.testing.assert_array_equal(found, raw == 255)


def test_unknown_ids_are_unlabelled_when_said_so(tmp_path):
    write_table(tmp_path)
    folders = (tmp_path / "train/images", tmp_path / "train/masks")
    write_pairs(*folders, 1, raw_ids=(0, 1, 200))
    dataset = Folder(root=str(tmp_path), unknown="ignore")
    raw = np.asarray(Image.open(folders[1] / "frame_00.png"))
    found = dataset.source("train")[0]["label"]
    np.testing.assert_array_equal(found, np.where(raw == 200, 255, raw))


def test_masks_may_be_in_a_folder_of_either_name_but_not_of_both(tree):
    (tree / "val/labels").rename(tree / "val/masks")
    assert len(Folder(root=str(tree)).source("val")) == 5
    (tree / "train/masks").mkdir()
    with pytest.raises(ValueError, match="has both masks and labels"):
        Folder(root=str(tree)).source("train")


COLOURS = {0: (9, 9, 9), 1: (255, 0, 0), 2: (0, 0, 255), 255: (0, 0, 0)}


def write_coloured(root, ids):
    """A folder with one mask of colours, and its table."""
    classes = [{"id": i, "name": f"c{i}", "rgb": c} for i, c in COLOURS.items()]
    root.mkdir(parents=True, exist_ok=True)
    table = {"ignore_id": 255, "classes": classes}
    (root / "classes.json").write_text(json.dumps(table))
    mask = np.array([[COLOURS.get(i, (1, 2, 3)) for i in ids]], np.uint8)
    save(root / "train/masks/a.png", mask)
    save(root / "train/images/a.png", mask)
    return root


def test_masks_of_colours_are_read_by_the_table(tmp_path):
    root = write_coloured(tmp_path, [2, 0, 255, 1])
    example = Folder(root=str(root), masks="rgb").source("train")[0]
    assert example["label"].tolist() == [[2, 0, 255, 1]]


def test_a_colour_in_no_table_is_an_error_or_unlabelled(tmp_path):
    root = write_coloured(tmp_path, [2, 77, 77])
    with pytest.raises(UnknownLabelError, match=r"a\.png .*\(1, 2, 3\) \(2 pixels\)"):
        Folder(root=str(root), masks="rgb").source("train")[0]
    source = Folder(root=str(root), masks="rgb", unknown="ignore").source("train")
    assert source[0]["label"].tolist() == [[2, 255, 255]]


def test_an_ignored_class_of_colours_is_unlabelled(tmp_path):
    root = write_coloured(tmp_path, [2, 0, 1])
    source = Folder(root=str(root), masks="rgb", ignore_id=0).source("train")
    assert source[0]["label"].tolist() == [[1, 255, 0]]


def test_more_than_254_colours_are_classes_beside_unlabelled_pixels(tmp_path):
    colours = [(i // 256, i % 256, 9) for i in range(320)]
    classes = [{"id": i, "name": f"c{i}", "rgb": c} for i, c in enumerate(colours)]
    classes.append({"id": 999, "name": "void", "rgb": [7, 7, 7]})
    table = {"ignore_id": 999, "classes": classes}
    save(tmp_path / "train/images/a.png", np.zeros((2, 161, 3), np.uint8))
    row = np.array([*colours, (7, 7, 7), (8, 8, 8)], np.uint8)
    save(tmp_path / "train/masks/a.png", row.reshape(2, 161, 3))
    (tmp_path / "classes.json").write_text(json.dumps(table))
    dataset = Folder(root=str(tmp_path), masks="rgb", unknown="ignore")
    found = dataset.source("train")[0]["label"]
    assert found.dtype == np.uint16
    assert found.ravel().tolist() == [*range(320), 65535, 65535]


def test_colours_without_a_table_are_an_error(tree):
    (tree / "classes.json").unlink()
    with pytest.raises(FileNotFoundError, match="what the colours are"):
        Folder(root=str(tree), masks="rgb").source("train")


@pytest.mark.parametrize("name", ["mine.txt", "mine.csv"])
def test_a_list_of_pairs_is_a_split(tree, name):
    lines = [
        "train/images/frame_03.png,train/labels/frame_03.png",
        "val/images/frame_01.png,val/labels/frame_01.png",
    ]
    (tree / name).write_text("\n".join(lines))
    dataset = Folder(root=str(tree))
    assert dataset.splits() == ("mine", "train", "val")
    assert [pair.name for pair in dataset.pairs("mine")] == [
        "train/images/frame_03",
        "val/images/frame_01",
    ]
    label = dataset.source("val")[1]["label"]
    np.testing.assert_array_equal(dataset.source("mine")[1]["label"], label)


def test_a_file_that_a_list_of_pairs_lacks_is_named(tree):
    (tree / "mine.txt").write_text("train/images/frame_03.png gone.png")
    with pytest.raises(FileNotFoundError, match=r"1 of 2 files .*gone\.png"):
        Folder(root=str(tree)).source("mine")


def test_a_list_and_a_folder_of_one_split_are_an_error(tree):
    (tree / "train.txt").write_text("a.png b.png")
    with pytest.raises(ValueError, match="both say what 'train' is"):
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


@pytest.mark.parametrize(
    "key, value, why",
    [
        ("form", "tfrecord", "'folder' or 'tfds': 'tfrecord'"),
        ("unknown", "skip", "'raise' or 'ignore': 'skip'"),
        ("masks", "colour", "'ids' or 'rgb': 'colour'"),
    ],
)
def test_an_unknown_choice_is_refused(tree, key, value, why):
    with pytest.raises(ValueError, match=why):
        Folder(root=str(tree), **{key: value})


def test_choices_that_a_copy_would_not_follow_are_refused(tree):
    with pytest.raises(ValueError, match='are for form="folder"'):
        Folder(root=str(tree), form="tfds", ignore_id=(0,))
