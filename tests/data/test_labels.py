"""Names and ids agree with the published tables, raw ids map as they say."""

import numpy as np
import pytest

from jaxseg.data.labels import CAMVID, CITYSCAPES, IGNORE, UNKNOWN, LabelSet

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
        (dict(seen=(0,), unseen=(0, 1)), "once"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(change, message):
    given = dict(names=TWO.names, palette=TWO.palette) | change
    with pytest.raises(ValueError, match=message):
        LabelSet(**given)


def test_255_classes_leave_no_room_for_the_ignore_label():
    with pytest.raises(ValueError, match="1 to 254"):
        LabelSet(names=("x",) * 255, palette=((0, 0, 0),) * 255)
