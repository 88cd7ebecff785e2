"""COCO-Stuff's two editions on made pictures."""

import json

import numpy as np
import pytest

from jaxseg.data.coco_stuff import CocoStuff10k, CocoStuff164k
from jaxseg.data.source import UnknownLabelError
from jaxseg.data.splits import NEVER_LABELLED
from tests.data import layouts


@pytest.fixture
def small(tmp_path):
    return layouts.coco_stuff_10k(tmp_path / "10k")


@pytest.fixture
def large(tmp_path):
    return layouts.coco_stuff_164k(tmp_path / "164k")


def in_order(raw, ids):
    """Train ids of raw ones by a slow loop over the list of them."""
    found = np.full(raw.shape, 255)
    for train_id, stored in enumerate(ids):
        found[raw == stored] = train_id
    return found


NEVER = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)  # as 10k counts, from 1


def test_masks_of_10k_are_read_from_matlab_files(small):
    dataset = CocoStuff10k(root=str(small))
    assert dataset.splits() == ("test", "train") and dataset.labels.num_classes == 171
    found = dataset.source("test")[0]["label"]
    raw = layouts.made_ids([i for i in range(183) if i not in NEVER], 0)
    ids = [i for i in range(1, 183) if i not in NEVER]
    np.testing.assert_array_equal(found, in_order(raw, ids))


def test_png_masks_of_10k_stand_in_for_matlab_files(small):
    name = "COCO_train2014_000000000000"
    (small / f"annotations/{name}.mat").unlink()
    raw = layouts.mask(small / f"annotations/{name}.png", [0, 1, 13, 182, 12], 5)
    found = CocoStuff10k(root=str(small)).source("test")[0]["label"]
    expected = {0: 255, 1: 0, 13: 11, 182: 170, 12: 255}
    np.testing.assert_array_equal(found, np.vectorize(expected.get)(raw))


def test_an_id_beyond_the_list_is_named(small):
    name = "COCO_train2014_000000000000"
    layouts.matlab(small / f"annotations/{name}.mat", {"S": layouts.made_ids([183])})
    with pytest.raises(UnknownLabelError, match=r"183 \(192 pixels\)"):
        _ = CocoStuff10k(root=str(small)).source("test")[0]


@pytest.mark.parametrize("classes", [171, 182])
def test_masks_of_164k_count_from_0(large, classes):
    dataset = CocoStuff164k(root=str(large), classes=classes)
    assert dataset.splits() == ("train", "val")
    assert len(dataset.source("train")) == 2 and dataset.labels.num_classes == classes
    found = dataset.source("val")[0]["label"]
    raw = layouts.made_ids([*range(182), 255], 0)
    kept = [i for i in range(182) if classes == 182 or i + 1 not in NEVER]
    np.testing.assert_array_equal(found, in_order(raw, kept))


def test_both_editions_have_the_same_classes(small, large):
    ten, all_ = CocoStuff10k(root=str(small)), CocoStuff164k(root=str(large))
    assert ten.labels.names == all_.labels.names
    assert ten.labels.palette == all_.labels.palette
    assert not {*NEVER_LABELLED} & {*ten.labels.names}


def test_the_zero_shot_split_takes_182_classes(large):
    dataset = CocoStuff164k(root=str(large), classes=182, unseen="cocostuff_167_15")
    assert (len(dataset.labels.seen), len(dataset.labels.unseen)) == (167, 15)
    fewer = CocoStuff164k(root=str(large), unseen="cocostuff_167_15").labels
    assert (len(fewer.seen), len(fewer.unseen)) == (156, 15)


def test_classes_are_the_published_ones(data_root):
    file = data_root.parent / "golden/pico/datasets.json"
    if not file.is_file():
        pytest.skip(f"needs the published tables at {file}")
    expected = json.loads(file.read_text())["coco_stuff10k"]
    ours = CocoStuff10k(root="/nowhere").labels
    assert list(ours.names) == expected["names"]
    assert list(ours.class_raw_ids) == expected["raw_ids"]
    assert [list(colour) for colour in ours.palette] == expected["palette"]


def test_another_number_of_classes_is_refused(large):
    with pytest.raises(ValueError, match="171 or 182: 172"):
        CocoStuff164k(root=str(large), classes=172)
