import numpy as np
import pytest
from PIL import Image

from jaxseg import visualize
from jaxseg.data.labels import LabelSet

LABELS = LabelSet(("sky", "road"), ((10, 20, 30), (200, 100, 0)))
TRUTH = np.array([[0, 0, 1, 1], [0, 1, 255, 255]])
PREDICTION = np.array([[0, 1, 1, 0], [0, 1, 0, 1]])
IMAGE = np.full((2, 4, 3), 100, np.uint8)


def test_classes_get_their_colours_and_others_are_black():
    colours = visualize.colorize(np.array([[1, 0, 255, -1, 2]], np.int32), LABELS)
    expected = [(200, 100, 0), (10, 20, 30), (0, 0, 0), (0, 0, 0), (0, 0, 0)]
    np.testing.assert_array_equal(colours[0], expected)


def test_overlay_mixes_and_leaves_unlabelled_pixels_alone():
    mixed = visualize.overlay(IMAGE, TRUTH, LABELS, opacity=0.5)
    np.testing.assert_array_equal(mixed[0, 0], [55, 60, 65])
    np.testing.assert_array_equal(mixed[1, 2], [100, 100, 100])


def test_errors_are_red_and_only_where_labelled():
    errors = visualize.error_map(IMAGE, TRUTH, PREDICTION, num_classes=2).astype(int)
    red = errors[..., 0] - errors[..., 1] > 50
    np.testing.assert_array_equal(red, [[0, 1, 0, 1], [0, 0, 0, 0]])
    assert errors[1, 2:].max() < 60 < errors[0, 0].min()


def test_panel_shows_the_four_pictures_side_by_side():
    sheet = visualize.panel(IMAGE, TRUTH, PREDICTION, LABELS, tile_width=80)
    assert sheet.dtype == np.uint8 and sheet.shape[1] == 4 * 80 + 5 * visualize.GAP
    middle = visualize.GAP + visualize.LINE + visualize.GAP + 10  # of the first row
    left = [visualize.GAP + i * (80 + visualize.GAP) + 10 for i in range(4)]
    np.testing.assert_array_equal(sheet[middle, left[0]], [100, 100, 100])
    np.testing.assert_array_equal(sheet[middle, left[1]], LABELS.palette[0])
    np.testing.assert_array_equal(sheet[middle, left[2] + 20], LABELS.palette[1])


def test_a_batch_has_a_row_for_each_example():
    one = visualize.panel(IMAGE, TRUTH, PREDICTION, LABELS, tile_width=80)
    three = visualize.panel(
        *(np.stack([x] * 3) for x in (IMAGE, TRUTH, PREDICTION)), LABELS, tile_width=80
    )
    assert three.shape == (one.shape[0] + 2 * (40 + visualize.GAP), *one.shape[1:])


def test_pictures_of_different_size_share_a_sheet():
    wide = [np.tile(x, (1, 2, 1)[: x.ndim]) for x in (IMAGE, TRUTH, PREDICTION)]
    pairs = zip((IMAGE, TRUTH, PREDICTION), wide, strict=True)
    sheet = visualize.panel(*(list(pair) for pair in pairs), LABELS, tile_width=80)
    assert sheet.shape[1] == 4 * 80 + 5 * visualize.GAP


def test_legend_lists_present_classes_or_all():
    def contains(colour, **options):
        sheet = visualize.panel(IMAGE, *[np.zeros((2, 4), int)] * 2, LABELS, **options)
        return np.any(np.all(sheet == colour, axis=-1))

    assert contains(LABELS.palette[0])
    assert not contains(LABELS.palette[1])
    assert contains(LABELS.palette[1], only_present=False)


def test_long_legends_wrap():
    names = tuple(f"class number {i}" for i in range(30))
    many = LabelSet(names, tuple((i, 255 - i, 7) for i in range(30)))
    sheet = visualize.panel(
        IMAGE, TRUTH, PREDICTION, many, tile_width=80, only_present=False
    )
    for colour in many.palette:
        assert np.any(np.all(sheet == colour, axis=-1))


@pytest.mark.parametrize(
    "image, message",
    [(IMAGE / 255.0, "uint8"), (np.zeros((4, 4, 3), np.uint8), "not of one size")],
)
def test_unfit_pictures_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        visualize.panel(image, TRUTH, PREDICTION, LABELS)


def test_a_mask_reads_back_as_ids_and_looks_like_its_colours(tmp_path):
    path = tmp_path / "mask.png"
    visualize.save_mask(path, TRUTH, LABELS)
    with Image.open(path) as mask:
        np.testing.assert_array_equal(np.asarray(mask), TRUTH)
        np.testing.assert_array_equal(
            np.asarray(mask.convert("RGB")), visualize.colorize(TRUTH, LABELS)
        )
