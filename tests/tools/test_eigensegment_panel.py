"""What is drawn of eigensegments."""

import numpy as np
import pytest

from jaxseg.tools import eigensegment_panel as drawing
from jaxseg.tools.spectral_pictures import Found

IMAGE = np.full((12, 16, 3), 100, np.uint8)
MAPS = np.linspace(-1, 2, 24).reshape(3, 4, 2).astype(np.float32)
SEGMENTS = (MAPS > 0).repeat(4, 0).repeat(4, 1)
BOX = (4, 0, 12, 8)
FOUND = Found(MAPS, SEGMENTS, np.array([BOX] * 2), BOX, (12, 16), None)


def test_the_sheet_has_a_row_of_vectors_and_one_of_segments():
    drawn = drawing.panel(IMAGE, FOUND, tile_width=40)
    gap = drawing.visualize.GAP
    assert drawn.shape[1] == 3 * 40 + 4 * gap
    with_regions = FOUND._replace(regions=np.arange(12).reshape(3, 4) % 3, box=None)
    assert drawing.panel(IMAGE, with_regions, tile_width=40).shape == drawn.shape


def test_the_box_is_drawn_on_its_border():
    drawn = drawing.with_box(IMAGE, BOX)
    for y, x in ((0, 4), (7, 11), (3, 4), (7, 6)):
        np.testing.assert_array_equal(drawn[y, x], drawing.BOX)
    np.testing.assert_array_equal(drawn[9, 4], IMAGE[9, 4])
    assert not np.shares_memory(drawn, IMAGE) and (IMAGE == 100).all()


def test_vectors_are_coloured_by_sign_and_white_at_zero():
    colours = drawing.diverging(np.array([[2.0, 0.0, -2.0, -1.0]]))[0]
    np.testing.assert_array_equal(colours[0], drawing.ABOVE)
    np.testing.assert_array_equal(colours[1], [255] * 3)
    np.testing.assert_array_equal(colours[2], drawing.BELOW)
    assert (drawing.diverging(np.zeros((2, 2))) == 255).all()


def test_regions_that_nobody_asked_for_are_refused():
    with pytest.raises(ValueError, match="give num_regions"):
        drawing.regions(IMAGE, FOUND)
