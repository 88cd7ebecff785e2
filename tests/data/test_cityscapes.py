"""Cityscapes' folders, on made pictures."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.cityscapes import Cityscapes
from jaxseg.data.labels import CITYSCAPES
from tests.data import layouts
from tests.data.conftest import write_pairs


@pytest.fixture
def root(tmp_path):
    for split, city in (("train", "aachen"), ("train", "bonn"), ("val", "ulm")):
        images = tmp_path / "leftImg8bit" / split / city
        labels = tmp_path / "gtFine" / split / city
        write_pairs(images, labels, 2, raw_ids=range(34), ending="_gtFine_labelIds")
        for file in images.iterdir():
            file.rename(file.with_stem(f"{file.stem}_leftImg8bit"))
        other = np.zeros((2, 2), np.uint8)
        Image.fromarray(other).save(labels / "frame_00_gtFine_instanceIds.png")
    return tmp_path


def test_pairs_of_all_cities_are_found(root):
    dataset = Cityscapes(root=str(root))
    names = [pair.name for pair in dataset.pairs("train")]
    assert names == [
        "aachen/frame_00",
        "aachen/frame_01",
        "bonn/frame_00",
        "bonn/frame_01",
    ]
    assert dataset.splits() == ("train", "val") and dataset.labels is CITYSCAPES


def test_label_ids_become_train_ids(root):
    found = Cityscapes(root=str(root)).source("val")[1]["label"]
    file = root / "gtFine/val/ulm/frame_01_gtFine_labelIds.png"
    raw = np.asarray(Image.open(file))
    expected = np.full_like(raw, 255)
    scored = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)
    for train_id, stored in enumerate(scored):
        expected[raw == stored] = train_id
    np.testing.assert_array_equal(found, expected)


def test_missing_labels_are_counted_and_the_archive_named(root):
    for file in (root / "gtFine/train/bonn").iterdir():
        file.unlink()
    with pytest.raises(ValueError) as error:
        Cityscapes(root=str(root)).source("train")
    for part in ("2 of 4 pictures have no label: bonn/frame_00", "gtFine_trainvaltest"):
        assert part in str(error.value)


def test_the_error_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="(?s)leftImg8bit/.*cityscapes-dataset"):
        Cityscapes(root=str(tmp_path / "cityscapes")).source("train")


@pytest.mark.parametrize(
    "quality, splits",
    [("fine", ("test", "train", "val")), ("coarse", ("train", "train_extra", "val"))],
)
def test_fine_and_coarse_masks_lie_side_by_side(tmp_path, quality, splits):
    root = layouts.cityscapes(tmp_path)
    dataset = Cityscapes(root=str(root), quality=quality)
    assert dataset.splits() == splits
    (pair,) = dataset.pairs("val")
    assert pair.label.name == f"ulm_000000_000019_gt{quality.title()}_labelIds.png"
    for split in splits:
        assert len(dataset.source(split)) == (2 if split == "train" else 1)


def test_blank_test_masks_are_unlabelled(tmp_path):
    source = Cityscapes(root=str(layouts.cityscapes(tmp_path))).source("test")
    assert (source[0]["label"] == 255).all()


def test_another_quality_is_refused():
    with pytest.raises(ValueError, match="'fine' or 'coarse': 'gtFine'"):
        Cityscapes(quality="gtFine")
