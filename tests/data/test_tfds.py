"""ArrayRecord copies give what their folder gives, without TensorFlow."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from jaxseg.data import pipeline
from jaxseg.data.ade20k import ADE20K
from jaxseg.data.camvid import CamVid
from jaxseg.data.cityscapes import Cityscapes
from jaxseg.data.coco import COCO
from jaxseg.data.coco_stuff import CocoStuff10k, CocoStuff164k
from jaxseg.data.folder import Folder
from jaxseg.data.imagenet_s import ImageNetS
from jaxseg.data.pascal_context import PascalContext
from jaxseg.data.source import PictureError
from jaxseg.data.transforms import TrainTransform
from jaxseg.data.voc import VOC
from jaxseg.tools import prepare_data
from tests.data import layouts
from tests.data.conftest import write_table

tfds = pytest.importorskip("jaxseg.data.tfds", reason="needs the [data] extra")


def both(root, tmp_path, kind=Folder):
    copy = kind(root=str(root), form="tfds", tfds_dir=str(tmp_path / "copy"))
    return kind(root=str(root)), copy


def assert_same_batches(folder, copy, *, crop, steps, **options):
    given = dict(transform=TrainTransform(crop=crop), seed=7, batch_size=4)
    pair = [
        pipeline.train_batches(dataset.source("train"), **given, **options)
        for dataset in (folder, copy)
    ]
    with pair[0], pair[1]:
        for _ in range(steps):
            left, right = next(pair[0]), next(pair[1])
            for key in left:
                np.testing.assert_array_equal(left[key], right[key])


def test_the_copy_holds_the_same_pictures_in_the_same_order(tree, tmp_path):
    folder, copy = both(tree, tmp_path)
    assert copy.labels == folder.labels
    for split in ("train", "val"):
        left, right = folder.source(split), copy.source(split)
        assert len(left) == len(right)
        for i in range(len(left)):
            for key in ("image", "label"):
                np.testing.assert_array_equal(left[i][key], right[i][key])
            assert right.name(i).endswith(f"{split}/frame_{i:02}")


def test_sizes_come_from_headers_and_are_those_of_the_masks(tree, tmp_path):
    folder, copy = both(tree, tmp_path)
    left, right = folder.source("val"), copy.source("val")
    assert [right.size(i) for i in range(5)] == [left.size(i) for i in range(5)]
    assert right.size(0) == right[0]["label"].shape


def test_sizes_of_pictures_without_masks_are_those_of_the_pictures(tmp_path):
    root = layouts.imagenet_s(tmp_path / "made", ("n01443537",), (0, 1))
    source = both(root, tmp_path, ImageNetS)[1].source("train")
    assert source.size(0) == source[0]["image"].shape[:2] != (1, 1)


def test_a_test_split_without_masks_is_copied_and_not_scored(tree, tmp_path):
    shutil.copytree(tree / "val/images", tree / "test/images")
    (tree / "test/list.txt").write_text("frame_03\nframe_01\n")
    folder, copy = both(tree, tmp_path)
    assert_same_examples(folder.source("train"), copy.source("train"))
    assert tfds.prepare(copy).info.splits["test"].num_examples == 2
    with pytest.raises(ValueError, match="test/frame_03 and all .* have no masks"):
        copy.source("test")


@pytest.mark.parametrize("split, gone", [("train", "*"), ("val", "frame_02*")])
def test_masks_that_are_missing_are_not_copied_over(tree, tmp_path, split, gone):
    for file in (tree / split / "labels").glob(gone):
        file.unlink()
    with pytest.raises(ValueError, match=f"incomplete in split '{split}'"):
        both(tree, tmp_path)[1].source("train")


@pytest.mark.parametrize("loader", ["threads", "grain"])
def test_the_copy_gives_the_same_batches(tree, tmp_path, loader):
    folder, copy = both(tree, tmp_path)
    assert_same_batches(
        folder, copy, crop=(20, 20), steps=4, loader=loader, start_step=2
    )


MADE = {
    "ade20k": (ADE20K, layouts.ade20k, {}),
    "cityscapes": (Cityscapes, layouts.cityscapes, {}),
    "coarse": (Cityscapes, layouts.cityscapes, {"quality": "coarse"}),
    "coco": (COCO, layouts.coco, {"unseen": "coco20i_1"}),
    "10k": (CocoStuff10k, layouts.coco_stuff_10k, {}),
    "164k": (CocoStuff164k, layouts.coco_stuff_164k, {"classes": 182}),
    "context": (PascalContext, layouts.pascal_context, {"background": True}),
    "voc": (VOC, layouts.voc, {"unseen": "voc12_15_5", "background": False}),
}


@pytest.mark.parametrize("name", MADE)
def test_every_data_set_is_copied_with_its_options(tmp_path, name):
    kind, make, options = MADE[name]
    root = str(make(tmp_path / "made"))
    folder = kind(root=root, image_labels=True, **options)
    copy = kind(
        root=root,
        image_labels=True,
        form="tfds",
        tfds_dir=str(tmp_path / "copy"),
        **options,
    )
    assert copy.labels == folder.labels
    for split in folder.splits():
        if split != "test" or name == "10k":
            assert_same_examples(folder.source(split), copy.source(split))


def assert_same_examples(left, right):
    assert len(left) == len(right) > 0
    for i in range(len(left)):
        assert left[i].keys() == right[i].keys()
        for key in left[i]:
            np.testing.assert_array_equal(left[i][key], right[i][key])
        np.testing.assert_array_equal(left[i]["label"], right.label(i))


def test_imagenet_s_is_copied_with_pictures_that_have_no_masks(tmp_path):
    root = layouts.imagenet_s(tmp_path / "made", ("n01443537",), (0, 1, 1000))
    folder, copy = both(root, tmp_path, ImageNetS)
    for split in folder.splits():
        assert_same_examples(folder.source(split), copy.source(split))
    assert (copy.source("train")[0]["label"] == 255).all()
    features = tfds.prepare(copy).info.features
    assert features["label"].np_dtype == np.uint16


def test_variants_are_copied_beside_each_other(tmp_path):
    root = layouts.cityscapes(tmp_path / "made")
    for quality in ("fine", "coarse"):
        copy = Cityscapes(
            root=str(root),
            quality=quality,
            form="tfds",
            tfds_dir=str(tmp_path / "copy"),
        )
        assert ("train_extra" in tfds.prepare(copy).info.splits) == (
            quality == "coarse"
        )
        assert (tmp_path / f"copy/cityscapes/{quality}/2.0.0").is_dir()


def test_one_copy_serves_all_splits_of_classes(tmp_path):
    root = str(layouts.voc(tmp_path / "made"))
    given = dict(root=root, form="tfds", tfds_dir=str(tmp_path / "copy"))
    assert VOC(**given).labels.unseen == ()
    assert VOC(**given, unseen="pascal5i_0").labels.unseen == (1, 2, 3, 4, 5)
    assert VOC(**given, background=False).labels.num_classes == 20


def test_every_data_set_has_a_builder():
    kinds = {builder.folder_class for builder in tfds.BUILDERS}
    assert kinds == {*prepare_data.DATASETS.values()}
    assert {b.name for b in tfds.BUILDERS} == {*prepare_data.DATASETS}


def test_tfds_itself_prepares_the_same(tmp_path):
    root = layouts.pascal_context(tmp_path / "made", "33_context_labels", 34)
    builder = tfds.PascalContext(
        config="33", data_dir=str(tmp_path / "copy"), file_format="array_record"
    )
    builder.download_and_prepare(
        download_config=tfds.tfds.download.DownloadConfig(manual_dir=str(root))
    )
    given = dict(root=str(root), classes=33)
    folder = PascalContext(**given)
    copy = PascalContext(**given, form="tfds", tfds_dir=str(tmp_path / "copy"))
    assert_same_examples(folder.source("train"), copy.source("train"))


def test_real_pictures_give_the_same_batches(data_root, tmp_path):
    folder, copy = both(data_root / "camvid", tmp_path, CamVid)
    assert len(copy.source("train")) == 367 and len(copy.source("val")) == 101
    assert_same_batches(folder, copy, crop=(180, 240), steps=3, start_step=90)


def test_a_copy_outlives_its_folder(tree, tmp_path):
    folder, copy = both(tree, tmp_path)
    labels, example = folder.labels, folder.source("val")[2]
    copy.source("train")
    shutil.rmtree(tree)
    again = both(tree, tmp_path)[1]
    assert again.labels == labels
    np.testing.assert_array_equal(again.source("val")[2]["image"], example["image"])


def test_a_copy_of_other_pictures_is_refused(tree, tmp_path):
    both(tree, tmp_path)[1].source("train")
    (tree / "train/list.txt").write_text("frame_01\n")
    with pytest.raises(ValueError, match="other files than .* delete it"):
        both(tree, tmp_path)[1].source("train")


def test_a_copy_with_another_class_table_is_refused(tree, tmp_path):
    both(tree, tmp_path)[1].source("train")
    write_table(tree, ids=(2, 1, 0))
    with pytest.raises(ValueError, match="other classes than"):
        _ = both(tree, tmp_path)[1].labels


def test_an_unreadable_record_is_named(tree, tmp_path):
    file = tree / "train/images/frame_01.png"
    file.write_bytes(file.read_bytes()[:200])
    source = both(tree, tmp_path)[1].source("train")
    with pytest.raises(PictureError, match=r"train/frame_01 \(image\): .* cut short"):
        _ = source[1]


def test_an_unknown_split_lists_those_there_are(tree, tmp_path):
    with pytest.raises(ValueError, match="no split 'tset'; it has train, val"):
        both(tree, tmp_path)[1].source("tset")


def test_neither_copy_nor_folder_is_an_error_with_the_layout(tmp_path):
    with pytest.raises(FileNotFoundError, match="(?s)Expected:.*trainannot"):
        both(tmp_path / "nowhere", tmp_path, CamVid)[1].source("train")


def test_the_copy_lies_where_tfds_keeps_its_data(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "usual"))
    before = sorted(tree.parent.iterdir())
    Folder(root=str(tree), form="tfds").source("train")
    assert (tmp_path / "usual/folder/2.0.0/dataset_info.json").is_file()
    assert sorted(tree.parent.iterdir()) == [*before, tmp_path / "usual"]


def test_several_shards_keep_the_order(tree, tmp_path):
    folder, copy = both(tree, tmp_path)
    builder = tfds.Folder(data_dir=copy.tfds_dir, file_format="array_record")
    builder.download_and_prepare(
        download_config=tfds.tfds.download.DownloadConfig(
            manual_dir=str(tree), num_shards=3
        )
    )
    assert builder.info.splits["train"].num_shards == 3
    left, right = folder.source("train"), copy.source("train")
    for i in range(7):
        np.testing.assert_array_equal(left[i]["image"], right[i]["image"])


def test_a_folder_whose_name_has_a_dollar_is_copied(tree, tmp_path):
    root = tree.rename(tmp_path / "a$b")
    literal = str(root).replace("$", "$$")
    copy = Folder(root=literal, form="tfds", tfds_dir=str(tmp_path / "copy"))
    assert len(copy.source("train")) == 7


def test_subclasses_without_a_builder_are_told(tree):
    class Mine(Folder):
        pass

    with pytest.raises(ValueError, match="Mine has no TFDS builder"):
        Mine(root=str(tree), form="tfds").source("train")


PROGRAM = """
import sys
from jaxseg.data.folder import Folder
source = Folder(root=sys.argv[1], form="tfds", tfds_dir=sys.argv[2]).source("train")
source[0]
assert "tensorflow" not in sys.modules and "torch" not in sys.modules
"""


def test_tensorflow_is_not_imported(tree, tmp_path):
    trap = tmp_path / "trap/tensorflow/__init__.py"
    trap.parent.mkdir(parents=True)
    trap.write_text("raise RuntimeError('TensorFlow was imported')")
    path = os.pathsep.join(
        [str(tmp_path / "trap"), *filter(None, sys.path), os.getcwd()]
    )
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tree), str(tmp_path / "copy")],
        env=os.environ | {"PYTHONPATH": path},
        check=True,
        timeout=120,
    )
