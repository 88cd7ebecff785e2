"""Image labels say what the mask says, and hidden masks teach nothing."""

import numpy as np
import pytest

from jaxseg.data.image_labels import ImageLabelled, from_mask, of_all, supervised_by
from jaxseg.data.labels import LabelSet
from jaxseg.data.source import PictureError
from tests.data.test_pipeline import Numbers

LABELS = LabelSet(
    names=("background", "cat", "dog"), palette=((0, 0, 0), (9, 0, 0), (0, 9, 0))
)


class Masks:
    """Pictures with given masks, and with image labels where they are given."""

    def __init__(self, *masks, image_labels=None):
        self.masks = [np.array(mask, np.uint8) for mask in masks]
        self.image_labels = image_labels

    def __len__(self):
        return len(self.masks)

    def __getitem__(self, index):
        label = self.masks[index]
        example = {"image": np.zeros((*label.shape, 3), np.uint8), "label": label}
        if self.image_labels is not None:
            example["image_labels"] = np.array(self.image_labels[index])
        return example

    def name(self, index):
        return f"mask_{index}"


def test_a_class_is_there_if_one_pixel_is():
    mask = np.zeros((4, 5), np.uint8)
    mask[3, 4] = 2
    assert from_mask(mask, 3).tolist() == [True, False, True]


@pytest.mark.parametrize("ids", [[[255, 255]], [[3, 7]], np.zeros((0, 4))])
def test_unlabelled_and_foreign_ids_are_no_class(ids):
    assert not from_mask(np.array(ids, np.uint8), 3).any()


def test_image_labels_equal_a_loop_over_pixels():
    mask = np.random.default_rng(0).choice([0, 3, 4, 9, 255], (20, 30)).astype(np.uint8)
    looped = [any(pixel == c for pixel in mask.ravel()) for c in range(11)]
    assert from_mask(mask, 11).tolist() == looped


def test_all_masks_of_a_source_are_read_in_order():
    source = Masks([[0, 1]], [[255, 2]], [[255, 255]])
    expected = [[True, True, False], [False, False, True], [False] * 3]
    assert of_all(source, 3).tolist() == expected


class MasksAlone(Masks):
    def label(self, index):
        return self.masks[index]

    def __getitem__(self, index):
        raise AssertionError("the picture is not needed")


def test_masks_are_read_without_pictures_where_the_source_can():
    assert of_all(MasksAlone([[1]], [[2]]), 3)[:, 1].tolist() == [True, False]


def test_an_unreadable_mask_has_no_class_if_such_are_skipped():
    source = Numbers(3, broken=(1,))
    assert of_all(source, 3, on_error="skip").sum(axis=1).tolist() == [1, 0, 1]
    with pytest.raises(PictureError, match="picture_1"):
        of_all(source, 3)


def test_image_labels_come_from_the_mask_where_there_are_none():
    example = ImageLabelled(Masks([[0, 2, 255]]), LABELS)[0]
    assert example["image_labels"].tolist() == [True, False, True]
    assert example["label"].tolist() == [[0, 2, 255]]


def test_image_labels_of_the_source_come_first():
    source = Masks([[0, 2]], image_labels=[[False, True, False]])
    assert ImageLabelled(source, LABELS)[0]["image_labels"].tolist() == [0, 1, 0]


def test_the_background_may_be_left_out():
    example = ImageLabelled(Masks([[0, 2]]), LABELS, background=False)[0]
    assert example["image_labels"].tolist() == [False, False, True]


def test_hidden_masks_are_unlabelled_and_the_source_keeps_its_own():
    source = Masks([[0, 2]])
    example = ImageLabelled(source, LABELS, hide_masks=True)[0]
    assert (example["label"] == 255).all() and example["image_labels"].any()
    assert source.masks[0].tolist() == [[0, 2]]


@pytest.mark.parametrize(
    ("supervision", "keys", "visible"),
    [
        ("masks", {"image", "label"}, True),
        ("masks_and_image_labels", {"image", "label", "image_labels"}, True),
        ("image_labels", {"image", "label", "image_labels"}, False),
    ],
)
def test_supervision_says_what_training_sees(supervision, keys, visible):
    example = supervised_by(Masks([[0, 2]]), LABELS, supervision=supervision)[0]
    assert example.keys() == keys and (example["label"] != 255).any() == visible


def test_another_supervision_is_refused():
    with pytest.raises(ValueError, match="masks_and_image_labels, image_labels, got"):
        supervised_by(Masks([[0]]), LABELS, supervision="boxes")


def test_a_setting_of_image_labels_without_any_is_refused():
    with pytest.raises(ValueError, match="there are no image labels"):
        supervised_by(Masks([[0]]), LABELS, supervision="masks", background=False)
