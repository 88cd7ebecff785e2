"""Names and ids agree with the published tables, raw ids map as they say."""

import dataclasses
import json

import numpy as np
import pytest

from jaxseg.data import labels as labels_lib
from jaxseg.data.labels import CAMVID, CITYSCAPES, IGNORE, UNKNOWN, VOC, LabelSet

TWO = LabelSet(names=("cat", "dog"), palette=((1, 2, 3), (4, 5, 6)))


def test_cityscapes_raw_ids_follow_the_published_table():
    table = CITYSCAPES.lookup_table()
    assert (table[7], table[8], table[11], table[26], table[33]) == (0, 1, 2, 13, 18)
    assert [i for i in range(34) if table[i] == IGNORE] == [
        *(0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
    ]
    assert table[34] == UNKNOWN and CITYSCAPES.names[13] == "car"


def test_camvid_void_is_eleven():
    table = CAMVID.lookup_table()
    np.testing.assert_array_equal(table[:12], [*range(11), IGNORE])
    assert table[255] == UNKNOWN


def test_id2label_has_text_keys():
    assert TWO.id2label == {"0": "cat", "1": "dog"}


def test_ids_are_the_train_ids_without_a_table():
    np.testing.assert_array_equal(TWO.lookup_table()[[0, 1, 2, 255]], [0, 1, -1, 255])


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(raw_ids=(5, 5)), "share a raw id"),
        (dict(raw_ids=(5, 255)), "a class and ignored"),
        (dict(raw_ids=(5,)), "1 raw ids"),
        (dict(raw_ids=(5, 70000)), "do not fit"),
        (dict(palette=((1, 2, 3),)), "1 colours"),
        (dict(seen=(0,), unseen=(0, 1)), r"\[0\] are seen and unseen"),
        (dict(seen=(0,), unseen=()), "once"),
        (dict(seen=(), unseen=(0, 1)), "nothing to train on"),
        (dict(word_vectors=np.zeros((3, 4), np.float32)), r"\[2, E\], got \[3, 4\]"),
        (dict(word_vectors=np.zeros((2, 4))), "finite float32, got float64"),
        (dict(word_vectors=np.full((2, 1), np.nan, np.float32)), "2 that are not"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(change, message):
    given = dict(names=TWO.names, palette=TWO.palette) | change
    with pytest.raises(ValueError, match=message):
        LabelSet(**given)


def made(num_classes):
    names = tuple(f"class {i}" for i in range(num_classes))
    colours = labels_lib.colour_map(num_classes)
    return LabelSet(names=names, palette=colours, ignored_raw_ids=(1000,))


@pytest.mark.parametrize(
    "num_classes, dtype, ignore",
    [(254, np.uint8, 255), (255, np.uint16, 65535), (920, np.uint16, 65535)],
)
def test_more_than_254_classes_have_wider_masks(num_classes, dtype, ignore):
    table = made(num_classes)
    assert table.dtype == dtype and table.ignore == ignore
    found = table.lookup_table()
    np.testing.assert_array_equal(found[:num_classes], np.arange(num_classes))
    assert found[1000] == ignore and found[-1] == UNKNOWN


def test_no_class_of_a_large_set_has_the_ignored_id():
    ids = np.arange(920).astype(made(920).dtype)
    assert (ids != labels_lib.ignored_id(ids.dtype)).all() and ids[255] == 255


def test_65535_classes_leave_no_room_for_the_ignored_id():
    with pytest.raises(ValueError, match="1 to 65534"):
        LabelSet(names=("x",) * 65535, palette=((0, 0, 0),) * 65535)


def test_unseen_classes_keep_their_order_and_validation_comes_last():
    table = made(6).with_unseen(("class 4", "class 1"), validation=("class 0",))
    assert table.unseen == (4, 1) and table.seen == (2, 3, 5, 0)


@pytest.mark.parametrize(
    "names, message",
    [
        (("cow",), r"no class is called \['cow'\]: .* cat, dog"),
        (("cat", "cat"), "uniq"),
    ],
)
def test_names_must_be_those_of_classes(names, message):
    with pytest.raises(ValueError, match=message):
        TWO.with_unseen(names)


def test_pixels_of_dropped_classes_are_unlabelled():
    table = VOC.without(("background", "cat"))
    assert table.num_classes == 19 and "cat" not in table.names
    found = table.lookup_table()
    assert (found[0], found[8], found[255]) == (IGNORE,) * 3
    assert table.names[found[9]] == "chair"
    assert table.palette[found[9]] == VOC.palette[9]


def test_dropped_classes_leave_the_split_of_the_others():
    table = made(5).with_unseen(("class 3", "class 1")).without(("class 0", "class 3"))
    assert table.names == ("class 1", "class 2", "class 4")
    assert (table.seen, table.unseen) == ((1, 2), (0,))


def test_word_vectors_stay_with_their_classes():
    rows = np.arange(15, dtype=np.float32).reshape(5, 3)
    table = dataclasses.replace(made(5), word_vectors=rows)
    split = table.with_unseen(("class 3",)).without(("class 0", "class 2"))
    assert split.names == ("class 1", "class 3", "class 4")
    np.testing.assert_array_equal(split.word_vectors, rows[[1, 3, 4]])


def test_word_vectors_do_not_make_other_classes_of_them():
    table = dataclasses.replace(TWO, word_vectors=np.ones((2, 1), np.float32))
    assert table == TWO and hash(table) == hash(TWO) and "word" not in repr(table)


def test_colours_of_more_than_256_classes_differ():
    colours = labels_lib.colour_map(920)
    assert len(set(colours)) == 920 and colours[:21] == VOC.palette


@pytest.fixture(scope="module")
def published(data_root):
    """Names, raw ids and colours as read from the authors' repositories."""
    file = data_root.parent / "golden/pico/datasets.json"
    if not file.is_file():
        pytest.skip(f"needs the published tables at {file}")
    return json.loads(file.read_text())


def triple(table):
    return list(table.names), [list(c) for c in table.palette], [*table.class_raw_ids]


def test_tables_are_the_published_ones(published):
    tables = {
        "cityscapes": CITYSCAPES,
        "camvid": CAMVID,
        "ade20k": labels_lib.read_table("ade20k"),
    }
    for name, table in tables.items():
        expected = published[name]
        keys = ("names", "palette", "raw_ids")
        assert triple(table) == tuple(expected[key] for key in keys), name


def test_context_ids_are_the_published_ones(published):
    expected = published["pascal_context"]
    table = labels_lib.read_table("pascal_context_59", layout="trainval")
    names, palette, raw_ids = triple(table.without(("background",)))
    assert names == expected["names"] and palette == expected["palette"]
    assert raw_ids == expected["raw_ids_459"]
