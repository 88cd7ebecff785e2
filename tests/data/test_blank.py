import pytest

from jaxseg.data.blank import Blank


def test_pictures_are_black_and_nothing_is_labelled():
    source = Blank(side=4, num_train=3).source("train")
    example = source[2]
    assert len(source) == 3 and source.name(2) == "blank/train/2"
    assert example["image"].shape == (4, 4, 3) and not example["image"].any()
    assert example["label"].shape == (4, 4) and (example["label"] == 255).all()


def test_there_is_one_split_and_no_picture_beyond_it():
    with pytest.raises(ValueError, match="split 'train', got 'val'"):
        Blank().source("val")
    with pytest.raises(IndexError, match="has 64 pictures"):
        Blank().source("train")[64]
