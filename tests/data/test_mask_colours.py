"""Colours to train ids, compared with a loop over the table."""

import numpy as np
import pytest

from jaxseg.data import mask_colours
from jaxseg.data.labels import IGNORE
from jaxseg.data.mask_colours import ColourTable
from jaxseg.data.source import UnknownLabelError

TABLE = ColourTable(((0, 0, 0), (255, 0, 10), (9, 200, 9)), (IGNORE, 0, 1))


def painted(*ids):
    """A mask of one row that shows the table's colours."""
    return np.array([[TABLE.colours[i] for i in ids]], np.uint8)


@pytest.mark.parametrize("block", [2, 2**22])
def test_colours_become_the_ids_of_their_classes(monkeypatch, block):
    monkeypatch.setattr(mask_colours, "_BLOCK", block)
    choice = np.random.default_rng(0).integers(0, 3, (5, 4))
    mask = np.array(TABLE.colours, np.uint8)[choice]
    expected = np.array(TABLE.train_ids)[choice]
    found = TABLE.train_ids_of(mask, name="m.png")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_unknown_colours_are_counted_and_named():
    mask = np.concatenate([painted(1, 2), np.full((1, 2, 3), 7, np.uint8)], axis=1)
    with pytest.raises(UnknownLabelError) as error:
        TABLE.train_ids_of(mask, name="m.png")
    for part in ("m.png", "(7, 7, 7) (2 pixels)", 'config.data.unknown="ignore"'):
        assert part in str(error.value)


def test_very_many_unknown_colours_are_a_jpeg():
    mask = np.random.default_rng(0).integers(20, 256, (20, 20, 3), np.uint8)
    with pytest.raises(UnknownLabelError, match="smoothing or a JPEG"):
        TABLE.train_ids_of(mask, name="m.png")


def test_unknown_colours_may_be_unlabelled():
    table = ColourTable(TABLE.colours, TABLE.train_ids, unknown=IGNORE)
    found = table.train_ids_of(np.full((2, 2, 3), 7, np.uint8), name="m.png")
    np.testing.assert_array_equal(found, IGNORE)


def test_two_classes_of_one_colour_are_refused():
    with pytest.raises(ValueError, match=r"have the colour \(1, 2, 3\)"):
        ColourTable(((1, 2, 3), (1, 2, 3)), (0, 1))


def test_packed_colours_are_unpacked():
    for colour in ((0, 0, 0), (1, 2, 3), (255, 254, 253)):
        assert (
            mask_colours.unpack(int(mask_colours.pack(np.array(colour, np.uint8))))
            == colour
        )


def test_row_blocks_cover_every_row_once(monkeypatch):
    monkeypatch.setattr(mask_colours, "_BLOCK", 30)
    rows = [i for block in mask_colours.row_blocks(11, 10) for i in range(11)[block]]
    assert rows == list(range(11))
