"""PASCAL VOC in its two layouts, and the real pictures."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import labels, pipeline
from jaxseg.data.source import PictureError
from jaxseg.data.voc import VOC
from tests.data import layouts
from tests.data.conftest import write_pairs, write_table
from tests.data.shares import published_shares, shares_of

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
    (distributed / "ImageSets/Segmentation/more.txt").write_text("2007_000001\n")
    with pytest.raises(ValueError, match="1 of 1 pictures have no label: 2007_000001"):
        VOC(root=str(distributed)).source("more")


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


@pytest.mark.parametrize("split, num_images", [("train", 320), ("val", 120)])
def test_real_class_shares_are_the_published_ones(data_root, split, num_images):
    source = VOC(root=str(data_root / "voc_mini")).source(split)
    assert len(source) == num_images
    expected = published_shares((data_root / "voc_mini/README.md").read_text(), split)
    shares, pictures = shares_of(source)
    for i, (share, count) in expected.items():
        assert shares[i] == pytest.approx(share, abs=6e-6), i
        assert pictures[i] == count, i
    assert set(expected) == {*range(21), 255}


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


def test_the_augmented_list_is_made_of_sbd_and_train_without_val(tmp_path):
    dataset = VOC(root=str(layouts.voc(tmp_path)))
    assert dataset.splits() == ("train", "train_aug", "val")
    pairs = {pair.name[-1]: pair.label.suffix for pair in dataset.pairs("train_aug")}
    assert pairs == {"0": ".png", "1": ".png", "3": ".mat", "4": ".mat"}


def test_masks_of_sbd_are_read_from_matlab_files(tmp_path):
    found = VOC(root=str(layouts.voc(tmp_path))).source("train_aug")[2]["label"]
    np.testing.assert_array_equal(found, layouts.made_ids([0, 8, 3], 3))


@pytest.mark.parametrize("ending", ["", " /SegmentationClassAug/2007_000003.png"])
def test_the_usual_augmented_folder_and_list_come_first(tmp_path, ending):
    root = layouts.voc(tmp_path)
    ids = layouts.mask(root / "SegmentationClassAug/2007_000003.png", [0, 9], 7)
    lists = root / "ImageSets/Segmentation"
    layouts.lines(lists / "trainaug.txt", [f"/JPEGImages/2007_000003.jpg{ending}"])
    source = VOC(root=str(root)).source("train_aug")
    assert len(source) == 1
    np.testing.assert_array_equal(source[0]["label"], ids)


def test_an_augmented_list_that_cannot_be_made_is_named(tmp_path):
    root = layouts.voc(tmp_path, sbd=False)
    (root / "SegmentationClassAug").mkdir()
    with pytest.raises(FileNotFoundError, match=r"train_aug\.txt is missing"):
        VOC(root=str(root)).source("train_aug")


def test_image_labels_are_those_of_the_annotations(tmp_path):
    root = str(layouts.voc(tmp_path))
    found = VOC(root=root, image_labels=True).source("train_aug")[2]["image_labels"]
    assert np.flatnonzero(found).tolist() == [0, 8, 17]  # background, cat, sheep
    dataset = VOC(root=root, image_labels=True, background=False)
    assert np.flatnonzero(dataset.source("val")[0]["image_labels"]).tolist() == [7, 16]


def test_an_annotation_with_a_strange_class_is_named(tmp_path):
    root = layouts.voc(tmp_path)
    text = "<annotation><object><name>gnu</name></object></annotation>"
    (root / "Annotations/2007_000002.xml").write_text(text)
    with pytest.raises(PictureError, match=r"2007_000002\.xml: .*not in"):
        _ = VOC(root=str(root), image_labels=True).source("val")[0]


def test_background_is_unlabelled_on_request(tmp_path):
    root = str(layouts.voc(tmp_path))
    with_background = VOC(root=root).source("val")[0]["label"]
    found = VOC(root=root, background=False).source("val")[0]["label"]
    expected = np.where(with_background == 255, 0, with_background).astype(int) - 1
    np.testing.assert_array_equal(found, np.where(expected < 0, 255, expected))


def test_real_image_labels_are_those_of_the_manifest(data_root):
    source = VOC(root=str(data_root / "voc_mini"), image_labels=True).source("val")
    lines = (data_root / "voc_mini/val/manifest.tsv").read_text().splitlines()[1:]
    for i, line in enumerate(lines):
        present = source[i]["image_labels"]
        names = [n for n, there in zip(labels.VOC.names, present, strict=True) if there]
        assert set(names) - {"background"} == set(line.split("\t")[3].split(","))
