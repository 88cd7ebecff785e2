"""The table in a folder, and what a config changes of it."""

import json

import pytest

from jaxseg.data import class_table
from jaxseg.data.labels import LabelSet

LABELS = LabelSet(
    names=("sky", "road", "car"),
    palette=((1, 1, 1), (2, 2, 2), (3, 3, 3)),
    raw_ids=(7, 5, 9),
    ignored_raw_ids=(0,),
    seen=(0, 2),
    unseen=(1,),
)


def write(tmp_path, classes, **others):
    file = tmp_path / "classes.json"
    file.write_text(json.dumps({"classes": classes, **others}))
    return file


SKY = {"id": 0, "name": "sky", "rgb": [9, 8, 7]}
ROAD = {"id": 1, "name": "road"}


def test_a_class_without_a_colour_gets_one_of_its_own(tmp_path):
    labels = class_table.read_class_table(write(tmp_path, [SKY, ROAD]))
    assert labels.palette == ((9, 8, 7), (0, 128, 0))


@pytest.mark.parametrize(
    "given, ignored",
    [({}, (255,)), ({"ignore_id": 1}, (1,)), ({"ignore_id": [1, 255]}, (1, 255))],
)
def test_the_ignored_ids_are_those_of_the_table_or_255(tmp_path, given, ignored):
    labels = class_table.read_class_table(write(tmp_path, [SKY, ROAD], **given))
    assert labels.ignored_raw_ids == ignored
    assert labels.names == (("sky",) if 1 in ignored else ("sky", "road"))


def test_a_class_may_have_the_id_255(tmp_path):
    labels = class_table.read_class_table(write(tmp_path, [SKY, {**ROAD, "id": 255}]))
    assert labels.class_raw_ids == (0, 255) and labels.ignored_raw_ids == ()


def test_colours_of_ignored_classes_are_read_too(tmp_path):
    void = {"id": 255, "name": "void", "rgb": [0, 0, 0]}
    found = class_table.read_colours(write(tmp_path, [SKY, void], ignore_id=255))
    assert found == {(9, 8, 7): 0, (0, 0, 0): 255}


@pytest.mark.parametrize(
    "second, why",
    [(ROAD, "'road' has no 'rgb'"), ({**ROAD, "rgb": [9, 8, 7]}, "two classes")],
)
def test_a_table_that_does_not_explain_colours_is_named(tmp_path, second, why):
    with pytest.raises(ValueError, match=f"classes.json is no class table.*{why}"):
        class_table.read_colours(write(tmp_path, [SKY, second]))


def test_a_level_beyond_255_is_no_colour(tmp_path):
    with pytest.raises(ValueError, match="three levels of 0..255"):
        class_table.read_class_table(write(tmp_path, [{**SKY, "rgb": [0, 256, 0]}]))


def test_nothing_chosen_changes_nothing():
    assert class_table.choose(LABELS) is LABELS


def test_an_ignored_class_is_none_and_the_others_move_up():
    labels = class_table.choose(LABELS, ignore_id=(7,))
    assert labels.names == ("road", "car") and labels.class_raw_ids == (5, 9)
    assert labels.palette == ((2, 2, 2), (3, 3, 3))
    assert labels.ignored_raw_ids == (0, 7)
    assert labels.seen == (1,) and labels.unseen == (0,)


def test_chosen_ids_are_the_classes_in_that_order():
    plain = LabelSet(names=LABELS.names, palette=LABELS.palette)
    labels = class_table.choose(plain, class_ids=(2, 0, 255))
    assert labels.names == ("car", "sky", "class_255")
    assert labels.class_raw_ids == (2, 0, 255) and labels.ignored_raw_ids == ()


def test_unknown_ids_may_be_ignored():
    table = class_table.choose(LABELS, unknown="ignore").lookup_table()
    assert table[[7, 5, 9]].tolist() == [0, 1, 2]
    assert (table == 255).sum() == 65536 - 3


@pytest.mark.parametrize(
    "choice, why",
    [
        (dict(class_ids=(0, 5), ignore_id=(5,)), r"\[5\] are in class_ids and in"),
        (dict(ignore_id=(5, 7, 9)), "no class is left"),
    ],
)
def test_choices_that_contradict_are_errors(choice, why):
    with pytest.raises(ValueError, match=why):
        class_table.choose(LABELS, **choice)


def test_two_classes_are_enough_and_one_is_not():
    two = class_table.choose(LABELS, ignore_id=(5,))
    assert class_table.check_several(two, where="here") is two
    one = class_table.choose(LABELS, ignore_id=(5, 7))
    with pytest.raises(
        class_table.SingleClassError, match=r"here has one .*0, 5, 7\. "
    ):
        class_table.check_several(one, where="here")


def test_colours_of_classes_differ_and_none_is_black():
    colours = [class_table.class_colour(i) for i in range(255)]
    assert len(set(colours)) == 255 and (0, 0, 0) not in colours
    assert colours[:3] == [(128, 0, 0), (0, 128, 0), (128, 128, 0)]  # VOC's 1, 2, 3
