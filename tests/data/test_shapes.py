"""Made-up shapes: repeatable, of the classes asked for."""

import numpy as np
import pytest

from jaxseg.data.labels import IGNORE, VOC
from jaxseg.data.shapes import Shapes


def test_a_picture_depends_on_its_number_and_the_seed_alone():
    source, again = (Shapes().source("train") for _ in range(2))
    assert np.array_equal(source[3]["image"], again[3]["image"])
    assert not np.array_equal(source[3]["image"], source[4]["image"])
    other = Shapes(seed=1).source("train")
    assert not np.array_equal(source[3]["label"], other[3]["label"])


def test_a_class_has_its_colour():
    example = Shapes(num_train=40).source("train")[7]
    for class_id in np.unique(example["label"]):
        if class_id == IGNORE:
            continue
        mean = example["image"][example["label"] == class_id].mean(axis=0)
        np.testing.assert_allclose(mean, VOC.palette[class_id], atol=12)


def test_few_pictures_hold_every_class():
    source = Shapes(num_train=40).source("train")
    held = set()
    for index in range(len(source)):
        held |= set(np.unique(source[index]["label"]).tolist())
    assert held >= set(range(21))


def test_names_of_coco_and_of_ones_own():
    assert Shapes(classes="coco").labels.num_classes == 81
    own = Shapes(classes=("background", "tile"), unseen=())
    assert own.labels.names == ("background", "tile")
    with pytest.raises(ValueError, match="'voc', 'coco' or names, got 'city'"):
        Shapes(classes="city").labels  # noqa: B018


def test_unknown_splits_and_numbers_are_refused():
    with pytest.raises(ValueError, match="got 'test'"):
        Shapes().source("test")
    with pytest.raises(IndexError, match="000016: the split has 16"):
        Shapes().source("val")[16]
