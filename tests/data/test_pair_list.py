"""Lists of pairs, in text and CSV."""

import pathlib

import pytest

from jaxseg.data import pair_list


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize(
    "name, text",
    [
        ("train.txt", "# mine\na/x.jpg m/x.png\n\nb/y.jpg\tm/y.png\n"),
        ("train.txt", "a/x.jpg, m/x.png\nb/y.jpg,m/y.png"),
        ("train.csv", "image,mask\na/x.jpg,m/x.png\n\nb/y.jpg, m/y.png\n"),
    ],
)
def test_lines_are_pairs_below_the_folder_of_the_list(tmp_path, name, text):
    pairs = pair_list.read_list(write(tmp_path, name, text))
    assert pairs == [
        ("a/x", tmp_path / "a/x.jpg", tmp_path / "m/x.png"),
        ("b/y", tmp_path / "b/y.jpg", tmp_path / "m/y.png"),
    ]


def test_paths_with_blanks_and_absolute_paths(tmp_path):
    file = write(tmp_path, "val.csv", "my photo.jpg,/masks/1.png\n")
    (pair,) = pair_list.read_list(file)
    assert pair.image == tmp_path / "my photo.jpg"
    assert pair.label == pathlib.Path("/masks/1.png")


@pytest.mark.parametrize(
    "text, why",
    [
        ("a.jpg a.png\nb.jpg\n", "line 2: expected a picture and its mask"),
        ("a.jpg a.png\na.jpg b.png\n", "line 2: a.jpg is there twice"),
    ],
)
def test_lines_that_are_no_pairs_are_named(tmp_path, text, why):
    with pytest.raises(ValueError, match=why):
        pair_list.read_list(write(tmp_path, "train.txt", text))


def test_other_text_files_are_no_lists(tmp_path):
    write(tmp_path, "README.txt", "two words\nof prose\n")
    write(tmp_path, "names.txt", "frame_00\nframe_01\n")
    write(tmp_path, "empty.csv", "")
    train = write(tmp_path, "train.txt", "a.jpg a.png\n")
    assert pair_list.find_lists(tmp_path) == {"train": train}


def test_two_lists_of_a_split_are_an_error(tmp_path):
    for name in ("train.txt", "train.csv"):
        write(tmp_path, name, "a.jpg,a.png\n")
    with pytest.raises(ValueError, match="two lists of 'train'"):
        pair_list.find_lists(tmp_path)
