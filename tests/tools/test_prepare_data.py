"""The job makes a copy that training then finds, and says what is in it."""

import json

import numpy as np
import pytest

from jaxseg.data.folder import Folder
from jaxseg.tools import prepare_data
from tests.data import layouts
from tests.data.conftest import save, write_tree
from tests.data.shares import published_shares

pytest.importorskip("tensorflow_datasets", reason="needs the [data] extra")


def test_the_report_counts_pictures(tmp_path, capsys):
    tree = write_tree(tmp_path / "made")
    copy = tmp_path / "copy"
    arguments = ["folder", "--root", str(tree), "--tfds_dir", str(copy)]
    assert prepare_data.main(arguments) == 0
    report = capsys.readouterr().out.splitlines()
    assert report[0].startswith("train: 7 pictures, 0.1 MB")
    assert report[1].startswith("  sky") and "% of pixels, in 7" in report[1]
    assert report[5].startswith("val: 5 pictures")
    assert report[-1] == f"3 classes, in {copy / 'folder/2.0.0'}"
    found = Folder(root="/nowhere", form="tfds", tfds_dir=str(copy)).source("train")
    assert len(found) == 7


def test_the_report_of_a_copy_is_printed_again(tmp_path):
    given = dict(root=str(write_tree(tmp_path / "made")), tfds_dir=str(tmp_path / "c"))
    assert prepare_data.prepare("folder", **given) == prepare_data.prepare(
        "folder", **given
    )


def test_problems_are_printed_with_their_files(tmp_path, capsys):
    tree = write_tree(tmp_path / "made")
    save(tree / "val/labels/frame_01.png", np.full((24, 32), 9, np.uint8))
    prepare_data.main(["folder", "--root", str(tree), "--tfds_dir", str(tmp_path)])
    report = capsys.readouterr().out
    assert "1 PROBLEMS" in report and "frame_01.png holds ids" in report


def test_a_mask_without_a_picture_ends_the_job(tmp_path, capsys):
    tree = write_tree(tmp_path / "made")
    (tree / "val/images/frame_01.png").unlink()
    arguments = ["folder", "--root", str(tree), "--tfds_dir", str(tmp_path / "copy")]
    assert prepare_data.main(arguments) == 1
    assert "1 of 5 labels have no picture: frame_01" in capsys.readouterr().err
    assert not (tmp_path / "copy/folder").exists()


def test_variants_have_names_of_their_own(tmp_path):
    root = layouts.pascal_context(tmp_path / "made", "33_context_labels", 34)
    lines = prepare_data.prepare(
        "pascal_context_33", root=str(root), tfds_dir=str(tmp_path / "copy")
    )
    assert lines[0].startswith("train: 2 pictures") and "published one 4998" in lines[1]
    assert lines[-1] == f"33 classes, in {tmp_path / 'copy/pascal_context/33/2.0.0'}"
    known = {"cityscapes_coarse", "imagenet_s_919", "pascal_context_59", "voc"}
    assert known <= set(prepare_data.names())


def test_long_tables_are_in_the_file_only(tmp_path):
    root = layouts.ade20k(tmp_path / "made")
    lines = prepare_data.prepare("ade20k", root=str(root), tfds_dir=str(tmp_path / "c"))
    assert not any("of pixels" in line for line in lines)
    file = tmp_path / "c/ade20k/2.0.0/prepare_data.json"
    assert len(json.loads(file.read_text())["train"]["classes"]) == 151
    assert "  150 classes are in no picture: wall, building, sky and 147 more" in lines


@pytest.mark.parametrize("name, void", [("camvid", 11), ("voc_mini", 255)])
def test_real_frequencies_are_the_published_ones(data_root, tmp_path, name, void):
    root = data_root / name
    kind = name.removesuffix("_mini")
    prepare_data.prepare(kind, root=str(root), tfds_dir=str(tmp_path))
    report = json.loads((tmp_path / f"{kind}/2.0.0/prepare_data.json").read_text())
    for split in ("train", "val"):
        readme = (root / "README.md").read_text()
        expected = published_shares(readme, split, void=void)
        classes = report[split]["classes"]
        for i, (share, pictures) in expected.items():
            found = classes[-1 if i == 255 else i]
            assert found["share"] == pytest.approx(share, abs=6e-6)
            assert found["pictures"] == pictures
        assert report[split]["problems"] == []


def test_a_missing_folder_is_a_message_and_no_traceback(tmp_path, capsys):
    arguments = ["camvid", "--root", str(tmp_path / "gone")]
    assert prepare_data.main(arguments) == 1
    assert "there is no folder" in capsys.readouterr().err
