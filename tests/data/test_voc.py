"""PASCAL VOC in its two layouts, and the real pictures."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import labels, pipeline
from jaxseg.data.voc import VOC
from tests.data.conftest import write_pairs, write_table

IDS = (0, 1, 15, 20, 255)


@pytest.fixture
def distributed(tmp_path):
    """The development kit: five pictures with masks, one without, a list for two."""
    write_pairs(tmp_path / "JPEGImages", tmp_path / "SegmentationClass", 5, raw_ids=IDS)
    Image.new("RGB", (8, 8)).save(tmp_path / "JPEGImages/2007_000001.jpg")
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("frame_00\nframe_01\nframe_02\n")
    (lists / "val.txt").write_text("frame_04\nframe_03\n")
    return tmp_path


def test_the_distributed_lists_are_the_splits(distributed):
    dataset = VOC(root=str(distributed))
    assert dataset.splits() == ("train", "val")
    assert [pair.name for pair in dataset.pairs("val")] == ["frame_04", "frame_03"]
    assert dataset.labels == labels.VOC


def test_masks_hold_class_ids(distributed):
    found = VOC(root=str(distributed)).source("train")[1]["label"]
    raw = np.asarray(Image.open(distributed / "SegmentationClass/frame_01.png"))
    np.testing.assert_array_equal(found, raw)
    assert set(np.unique(found)) == set(IDS)


def test_a_folder_per_split_with_its_own_table(tmp_path):
    write_table(tmp_path, ids=(0, 1, 2), ignore_id=255)
    folders = (tmp_path / "val/images", tmp_path / "val/masks")
    write_pairs(*folders, 3, raw_ids=(0, 1, 2, 255))
    (tmp_path / "val/list.txt").write_text("frame_02\nframe_00\n")
    dataset = VOC(root=str(tmp_path))
    assert [pair.name for pair in dataset.pairs("val")] == ["frame_02", "frame_00"]
    assert dataset.labels.names == ("sky", "road", "car")


def test_a_picture_of_the_list_without_a_mask_is_named(distributed):
    (distributed / "ImageSets/Segmentation/test.txt").write_text("2007_000001\n")
    with pytest.raises(ValueError, match="1 of 1 pictures have no label: 2007_000001"):
        VOC(root=str(distributed)).source("test")


def test_the_error_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="(?s)SegmentationClass.*voc2012"):
        VOC(root=str(tmp_path / "voc")).source("train")


def test_colours_are_the_bits_of_the_ids():
    for i, colour in enumerate(labels.VOC.palette):
        for channel, value in enumerate(colour):
            bits = (i >> channel & 1) << 7 | (i >> channel + 3 & 1) << 6
            assert value == bits


def test_the_real_folder_has_its_published_counts_and_classes(data_root):
    dataset = VOC(root=str(data_root / "voc_mini"))
    assert (len(dataset.source("train")), len(dataset.source("val"))) == (320, 120)
    assert dataset.labels.names == labels.VOC.names
    assert dataset.labels.palette == labels.VOC.palette


def test_real_class_shares_are_the_published_ones(data_root):
    source = VOC(root=str(data_root / "voc_mini")).source("val")
    counts = sum(
        np.bincount(source[i]["label"].ravel(), minlength=256) for i in range(120)
    )
    # README of the folder: background, bird, person and void of this part.
    np.testing.assert_allclose(
        (counts / counts.sum())[[0, 3, 15, 255]],
        [0.69837, 0.01457, 0.04074, 0.05094],
        atol=1e-5,
    )


def test_photographs_lie_at_the_top_left_of_a_grey_canvas(data_root):
    source = VOC(root=str(data_root / "voc_mini")).source("val")
    batches = pipeline.eval_batches(
        source, batch_size=3, canvas=(513, 513), fill=(128, 128, 128)
    )
    batch = next(iter(batches))
    batches.close()
    assert batch["image"].shape == (3, 513, 513, 3)
    for i in range(3):
        photograph = source[i]
        height, width = photograph["label"].shape
        np.testing.assert_array_equal(
            batch["image"][i, :height, :width], photograph["image"]
        )
        assert (batch["image"][i, height:] == 128).all()
        assert (batch["image"][i, :, width:] == 128).all()
        assert (batch["label"][i, height:] == 255).all()
