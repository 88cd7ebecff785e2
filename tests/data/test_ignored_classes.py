"""A run without some classes sees their pixels as unlabelled, everywhere."""

import dataclasses

import numpy as np
import pytest

from jaxseg.data.ignored_classes import IgnoringDataset, without
from jaxseg.data.labels import CAMVID, VOC
from jaxseg.data.voc import VOC as VOCFolder
from tests.data.test_image_labels import LABELS, Masks


class Made:
    labels = dataclasses.replace(LABELS, raw_ids=(0, 5, 7), seen=(0, 1), unseen=(2,))

    def source(self, split):
        return Masks([[0, 1, 2, 255]], image_labels=[[True, False, True]])


def test_classes_left_are_counted_from_0_again():
    example = IgnoringDataset(Made(), ["background"]).source("train")[0]
    assert example["label"].tolist() == [[255, 0, 1, 255]]
    assert example["image_labels"].tolist() == [False, True]


def test_labels_follow():
    labels = IgnoringDataset(Made(), ["background"]).labels
    assert labels.names == ("cat", "dog") and labels.raw_ids == (5, 7)
    assert labels.ignored_raw_ids == (0, 255)
    assert (labels.seen, labels.unseen) == ((0,), (1,))


def test_the_lookup_table_is_that_of_the_classes_left():
    table = without(VOC, ["background", "cat"]).lookup_table()
    assert table[[0, 1, 7, 8, 9, 20, 255]].tolist() == [255, 0, 6, 255, 7, 18, 255]


def test_nothing_left_out_changes_nothing_but_the_spelling():
    np.testing.assert_array_equal(
        without(CAMVID, []).lookup_table(), CAMVID.lookup_table()
    )


def test_a_class_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="has 'horse'; the classes are background"):
        IgnoringDataset(Made(), ["horse"])


def test_pixels_of_photographs_are_those_of_the_table(data_root):
    folder = VOCFolder(root=str(data_root / "voc_mini"))
    ignoring = IgnoringDataset(folder, ["background"])
    for index in (0, 50, 100):
        label = folder.source("val")[index]["label"].astype(int)
        expected = np.where((label == 0) | (label == 255), 255, label - 1)
        found = ignoring.source("val")[index]["label"]
        np.testing.assert_array_equal(found, expected)
