"""Splits agree with the lists of their authors."""

import json

import numpy as np
import pytest

from jaxseg.data import labels, splits

SPELLING = {"potted_plant": "pottedplant", "tv": "tvmonitor", "unlabel": "background"}


@pytest.mark.parametrize(
    "name, table",
    [
        ("voc12_15_5", labels.VOC),
        ("context33_29_4", labels.read_table("pascal_context_33")),
        ("cocostuff_167_15", labels.read_table("coco_stuff")),
    ],
)
def test_ids_are_those_of_the_authors(data_root, name, table):
    expected = json.loads((data_root / f"splits/{name}.json").read_text())
    given = expected["class_names"]
    if table.names[0] == "background":
        given = [SPELLING.get(n, n) for n in given]
        assert given == list(table.names)
        table = table.without(("background",))
    split = splits.apply(table, name)
    raw = np.array(split.class_raw_ids)
    assert raw[list(split.seen)].tolist() == expected["seen_ids"]
    assert raw[list(split.unseen)].tolist() == expected["unseen_ids"]
    assert [*splits.validation_classes(name)] == [
        given[i] for i in expected.get("val_ids", ())
    ]


@pytest.mark.parametrize(
    "family, table", [("zs3_voc21", "voc"), ("zs3_context60", "pascal_context_59")]
)
def test_the_splits_of_zs3_are_those_of_its_authors(data_root, family, table):
    classes = labels.VOC if table == "voc" else labels.read_table(table)
    expected = json.loads((data_root / f"splits/{family}.json").read_text())["splits"]
    assert set(expected) == {"2", "4", "6", "8", "10"}
    for count, lists in expected.items():
        split = splits.apply(classes, f"{family}_{count}")
        assert [classes.names[i] for i in split.unseen] == lists["unseen_names"]
        assert len(split.seen) == len(lists["seen_ids"])


def test_pascal_folds_take_five_in_a_row(data_root):
    for fold in range(4):
        lines = (data_root / f"splits/pascal5i/val_fold{fold}.txt").read_text().split()
        ids = sorted({int(line[-2:]) for line in lines})
        names = tuple(labels.VOC.names[i] for i in ids)
        assert splits.fold("pascal5i", fold) == names


def test_coco_folds_take_every_fourth(data_root):
    folds = [splits.fold("coco20i", fold) for fold in range(4)]
    for fold, held in enumerate(folds):
        with np.load(data_root / f"splits/coco20i/val_fold{fold}.npz") as file:
            assert np.unique(file["class_id"]).tolist() == [*range(fold, 80, 4)]
        assert len(held) == 20
    assert [held[0] for held in folds] == ["person", "bicycle", "car", "motorcycle"]
    assert folds[3][-1] == "toothbrush" and len(set().union(*folds)) == 80


def test_every_name_can_be_asked_for():
    assert len(splits.names()) == 3 + 10 + 8
    for name in splits.names():
        assert splits.unseen_classes(name)
        assert not {*splits.unseen_classes(name)} & {*splits.validation_classes(name)}


def test_class_names_are_a_split_too_and_none_is_none():
    split = splits.apply(labels.VOC, ("cat", "dog"))
    assert split.unseen == (8, 12) and len(split.seen) == 19
    assert splits.apply(labels.VOC, "") is labels.VOC


@pytest.mark.parametrize("name", ["voc12_16_4", "pascal5i_4", "train", "pascal5i"])
def test_an_unknown_split_is_refused(name):
    with pytest.raises(ValueError, match="pascal5i"):
        splits.unseen_classes(name)


def test_a_split_of_other_classes_is_refused():
    with pytest.raises(ValueError, match=r"no class is called \['cow'"):
        splits.apply(labels.CAMVID, "context33_29_4")


def test_choosing_hyperparameters_looks_at_no_unseen_class():
    table = splits.apply(labels.VOC.without(("background",)), "voc12_15_5:validation")
    names = [table.names[i] for i in table.unseen]
    assert names == ["horse", "motorbike", "person"] and len(table.seen) == 12
    ids = [labels.VOC.names.index(n) for n in splits.unseen_classes("voc12_15_5")]
    assert (table.lookup_table()[ids] == labels.IGNORE).all()


@pytest.mark.parametrize("name", ["voc12_15_5:test", "context33_29_4:validation"])
def test_another_purpose_of_a_split_is_refused(name):
    with pytest.raises(ValueError, match="voc12_15_5:validation"):
        splits.apply(labels.VOC, name)


def test_methods_that_need_unseen_classes_say_how_to_have_some():
    splits.check_split(splits.apply(labels.VOC, "zs3_voc21_2"))
    with pytest.raises(ValueError, match="none of the 21 .* config.data.unseen"):
        splits.check_split(labels.VOC)
