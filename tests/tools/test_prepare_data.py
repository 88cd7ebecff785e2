"""The job makes a copy that training then finds."""

import pytest

from jaxseg.data.folder import Folder
from jaxseg.tools import prepare_data
from tests.data.conftest import write_tree

pytest.importorskip("tensorflow_datasets", reason="needs the [data] extra")


def test_the_report_counts_pictures(tmp_path, capsys):
    tree = write_tree(tmp_path / "made")
    copy = tmp_path / "copy"
    arguments = ["folder", "--root", str(tree), "--tfds_dir", str(copy)]
    assert prepare_data.main(arguments) == 0
    report = capsys.readouterr().out.splitlines()[-3:]
    assert report[0].startswith("train: 7 pictures, 0.1 MB")
    assert report[1].startswith("val: 5 pictures")
    assert report[2] == f"3 classes, in {copy / 'folder/2.0.0'}"
    found = Folder(root="/nowhere", form="tfds", tfds_dir=str(copy)).source("train")
    assert len(found) == 7


def test_a_missing_folder_is_a_message_and_no_traceback(tmp_path, capsys):
    arguments = ["camvid", "--root", str(tmp_path / "gone")]
    assert prepare_data.main(arguments) == 1
    assert "there is no folder" in capsys.readouterr().err
