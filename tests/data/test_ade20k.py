"""ADE20K's folders on made pictures, and two real masks."""

import shutil

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.ade20k import ADE20K
from tests.data import layouts


def test_ids_count_from_one_and_zero_is_unlabelled(tmp_path):
    root = layouts.ade20k(tmp_path)
    dataset = ADE20K(root=str(root))
    assert dataset.splits() == ("test", "train", "val")
    found = dataset.source("train")[1]["label"]
    raw = np.asarray(Image.open(root / "annotations/training/ADE_train_00000002.png"))
    np.testing.assert_array_equal(found, np.where(raw == 0, 255, raw.astype(int) - 1))


def test_names_are_those_of_the_benchmark():
    names = ADE20K(root="/nowhere").labels.names
    assert names[:3] == ("wall", "building", "sky") and names[149] == "flag"


@pytest.mark.parametrize(
    "name, ids",
    [
        ("ADE_val_00000001", [0, 1, 2, 3, 5, 7, 10, 18]),
        ("ADE_val_00000003", [0, 1, 2, 3, 5, 7, 12, 21, 44, 81, 88, 97, 103]),
    ],
)
def test_real_masks_hold_the_published_ids(data_root, tmp_path, name, ids):
    for kind, ending in (("images", "jpg"), ("annotations", "png")):
        file = data_root / "ade20k_samples" / kind / f"{name}.{ending}"
        (tmp_path / kind / "validation").mkdir(parents=True)
        shutil.copy(file, tmp_path / kind / "validation")
    example = ADE20K(root=str(tmp_path), image_labels=True).source("val")[0]
    train_ids = [i - 1 for i in ids[1:]]
    assert np.unique(example["label"]).tolist() == [*train_ids, 255]
    assert np.flatnonzero(example["image_labels"]).tolist() == train_ids


def test_our_names_are_among_those_of_each_class(data_root):
    lines = (data_root / "ade20k_samples/classes.tsv").read_text().splitlines()[2:]
    synonyms = [line.split("\t")[2].split(", ") for line in lines]
    for name, known in zip(ADE20K(root="/nowhere").labels.names, synonyms, strict=True):
        assert name in known
