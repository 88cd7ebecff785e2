"""PASCAL-Context on made pictures, in the layouts in which it goes about."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import labels
from jaxseg.data.pascal_context import PascalContext
from jaxseg.data.source import UnknownLabelError
from tests.data import layouts


def test_converted_masks_are_in_the_order_of_the_classes(tmp_path):
    dataset = PascalContext(root=str(layouts.pascal_context(tmp_path)))
    assert dataset.splits() == ("train", "val")
    assert [p.name for p in dataset.pairs("train")] == ["2008_000001", "2008_000002"]
    found = dataset.source("val")[0]["label"]
    raw = layouts.made_ids([*range(60)], 0)
    np.testing.assert_array_equal(found, np.where(raw == 0, 255, raw.astype(int) - 1))


def test_masks_with_vocs_classes_first_give_the_same_train_ids(tmp_path, data_root):
    root = layouts.pascal_context(tmp_path, masks="59_context_labels")
    dataset = PascalContext(root=str(root))
    found = dataset.source("val")[0]["label"]
    raw = layouts.made_ids([*range(60)], 0)
    file = data_root / "splits/zs3_context60.json"
    theirs = np.array(json.loads(file.read_text())["class_names"])
    ours = np.array([*dataset.labels.names, *[""] * 196, "background"])
    np.testing.assert_array_equal(ours[found], theirs[raw])


def test_background_is_a_class_on_request(tmp_path):
    root = str(layouts.pascal_context(tmp_path, masks="59_context_labels"))
    dataset = PascalContext(root=root, background=True, unseen="zs3_context60_4")
    assert dataset.labels.num_classes == 60 and dataset.labels.names[0] == "background"
    raw = layouts.made_ids([*range(60)], 0)
    found = dataset.source("val")[0]["label"]
    np.testing.assert_array_equal(found == 0, raw == 0)
    unseen = [dataset.labels.names[i] for i in dataset.labels.unseen]
    assert unseen == ["cow", "motorbike", "sofa", "cat"]


def test_the_original_masks_of_459_classes_are_reduced(tmp_path):
    root = layouts.pascal_context(tmp_path, masks="trainval")
    found = PascalContext(root=str(root), background=True).source("val")[0]["label"]
    raw = layouts.made_ids([2, 459, 1], 0)
    np.testing.assert_array_equal(found, np.where(raw == 2, 1, 0))  # 2 is aeroplane


def test_reduced_masks_are_pictures_of_8_bits(tmp_path):
    root = layouts.pascal_context(tmp_path, masks="trainval")
    dataset = PascalContext(root=str(root))
    with Image.open(io.BytesIO(dataset.plain_mask(dataset.pairs("val")[0].label))) as f:
        assert f.mode == "L"


def test_an_id_above_459_is_named(tmp_path):
    root = layouts.pascal_context(tmp_path, masks="trainval")
    ids = {"LabelMap": layouts.made_ids([2, 460])}
    layouts.matlab(root / "trainval/2008_000000.mat", ids)
    with pytest.raises(UnknownLabelError, match=r"2008_000000\.mat .* 460 \(96 pix"):
        _ = PascalContext(root=str(root)).source("val")[0]


def test_33_classes_have_masks_of_their_own(tmp_path):
    root = layouts.pascal_context(tmp_path, masks="33_context_labels", count=34)
    dataset = PascalContext(root=str(root), classes=33, unseen="context33_29_4")
    assert dataset.labels.num_classes == 33 and len(dataset.labels.seen) == 29
    raw = layouts.made_ids([*range(34)], 0)
    found = dataset.source("val")[0]["label"]
    np.testing.assert_array_equal(found, np.where(raw == 0, 255, raw.astype(int) - 1))
    with pytest.raises(FileNotFoundError, match=r"masks of 59 classes \(Segm"):
        PascalContext(root=str(root)).source("val")


def test_vocs_own_lists_stand_in_for_missing_ones(tmp_path):
    root = layouts.pascal_context(tmp_path)
    (root / "ImageSets/SegmentationContext").rename(root / "ImageSets/Main")
    layouts.lines(root / "ImageSets/Main/aeroplane_train.txt", ["2008_000001 -1"])
    assert PascalContext(root=str(root)).splits() == ("train", "val")


def test_unlisted_masks_with_the_names_of_vocs_classes_agree():
    assert {*labels.VOC.names} - {
        *labels.read_table("pascal_context_33").names
    } == set()
    both = labels.read_table("pascal_context_59").names
    assert {*labels.VOC.names} - {*both} == {"diningtable"}  # "table" among the 59
