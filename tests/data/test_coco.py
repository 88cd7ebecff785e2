"""COCO with masks of its 80 classes, on made pictures."""

import numpy as np
import pytest

from jaxseg.data.coco import COCO
from tests.data import layouts


@pytest.fixture
def root(tmp_path):
    return str(layouts.coco(tmp_path))


def test_a_split_is_the_pictures_with_masks(root):
    dataset = COCO(root=root)
    assert dataset.splits() == ("train", "val")
    names = [pair.name for pair in dataset.pairs("train")]
    assert names == [f"COCO_train2014_{i:012}" for i in range(2)]


def test_masks_count_the_80_classes_from_1(root):
    found = COCO(root=root, background=False).source("val")[0]["label"]
    raw = layouts.made_ids([*range(81)], 0)
    np.testing.assert_array_equal(found, np.where(raw == 0, 255, raw.astype(int) - 1))
    labels = COCO(root=root).labels
    assert (labels.names[1], labels.names[12], labels.names[80]) == (
        "person",
        "stop sign",
        "toothbrush",
    )


def test_a_fold_holds_every_fourth_class_out(root):
    labels = COCO(root=root, unseen="coco20i_2").labels
    assert labels.unseen == tuple(range(3, 81, 4)) and 0 in labels.seen


def test_a_mask_without_a_picture_is_an_error(root, tmp_path):
    (tmp_path / "val2014/COCO_val2014_000000000000.jpg").unlink()
    with pytest.raises(ValueError, match="1 of 1 labels have no picture: COCO_val"):
        COCO(root=root).source("val")
