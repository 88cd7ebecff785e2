import types

import numpy as np
import pytest
from PIL import Image

from jaxseg import visualize
from jaxseg.data import pictures
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


def test_the_legend_of_errors_has_the_colours_of_the_map():
    grey = np.full((2, 4, 3), 128, np.uint8)
    errors = visualize.error_map(grey, TRUTH, PREDICTION, num_classes=2).astype(int)
    shown = {"right": errors[0, 0], "wrong": errors[0, 1], "unlabelled": errors[1, 2]}
    for name, colour in visualize.ERROR_LEGEND:
        assert np.abs(shown[name] - colour).max() < 20


@pytest.fixture
def many():
    """What visualize reads of the classes of ImageNet-S, more than a palette holds."""
    colours = np.random.default_rng(0).integers(0, 256, (919, 3)).tolist()
    names = tuple(f"class {i}" for i in range(919))
    return types.SimpleNamespace(
        names=names, palette=colours, num_classes=919, unseen=()
    )


def test_classes_beyond_a_palette_are_drawn(many):
    ids = np.array([[0, 300, 918, 1000]])
    colours = visualize.colorize(ids, many)[0]
    expected = [many.palette[0], many.palette[300], many.palette[918], visualize.VOID]
    np.testing.assert_array_equal(colours, expected)
    sheet = visualize.panel(IMAGE[:1], ids, ids, many, tile_width=80)
    assert np.any(np.all(sheet == many.palette[918], axis=-1))


def test_masks_of_classes_beyond_a_palette_read_back(tmp_path, many):
    ids = np.array([[0, 300], [918, 1000]])
    visualize.save_mask(tmp_path / "mask.png", ids, many)
    np.testing.assert_array_equal(pictures.read_label(tmp_path / "mask.png"), ids)


@pytest.mark.parametrize("ids", ([[256]], [[-1]]))
def test_ids_that_do_not_fit_a_mask_are_refused(tmp_path, ids):
    with pytest.raises(ValueError, match="do not fit a mask of 2 classes"):
        visualize.save_mask(tmp_path / "mask.png", np.array(ids), LABELS)


def test_a_comparison_has_a_tile_for_each_network():
    sheet = visualize.comparison(
        [IMAGE] * 2,
        [TRUTH] * 2,
        {"one": [TRUTH] * 2, "other": [PREDICTION] * 2},
        LABELS,
        tile_width=80,
    )
    assert sheet.dtype == np.uint8 and sheet.shape[1] == 4 * 80 + 5 * visualize.GAP
    middle = visualize.GAP + visualize.LINE + visualize.GAP + 10  # of the first row
    left = [visualize.GAP + i * (80 + visualize.GAP) + 30 for i in range(4)]
    np.testing.assert_array_equal(sheet[middle, left[0]], [100, 100, 100])
    colours = [LABELS.palette[c] for c in (0, 0, 1)]
    np.testing.assert_array_equal(sheet[middle, left[1:]], colours)


def test_a_comparison_of_nothing_shows_the_truth():
    sheet = visualize.comparison([IMAGE], [TRUTH], {}, LABELS, tile_width=80)
    assert sheet.shape[1] == 2 * 80 + 3 * visualize.GAP


def test_a_comparison_refuses_a_mask_of_another_size():
    with pytest.raises(ValueError, match="not of one size"):
        visualize.comparison([IMAGE], [TRUTH], {"net": [TRUTH.T]}, LABELS)


def test_unseen_classes_are_marked_in_the_legend(monkeypatch):
    shown = []
    monkeypatch.setattr(visualize, "_write", lambda *arguments: shown.append(arguments))
    labels = LABELS.with_unseen(["road"])
    visualize.comparison([IMAGE], [TRUTH], {}, labels, tile_width=80)
    written = [text for *_, text in shown]
    assert {"sky", "road (unseen)", "unlabelled"} <= set(written)


def test_a_mixture_is_the_mean_of_colours_by_shares():
    weights = np.array([[2.0, 0, 0], [0, 0.1, 0], [1, 1, 2], [0, 0, 0]])
    red, green, blue = np.array(visualize.SHARES[:3], float)
    expected = [red, green, (red + green + 2 * blue) / 4, (red + green + blue) / 3]
    np.testing.assert_allclose(visualize.mixed(weights), expected, atol=0.5)


def test_small_differences_of_shares_are_stretched():
    weights = np.array([0.5, 0.51, 0.49])
    flat = np.abs(np.diff(visualize.mixed(weights).astype(int)))
    assert np.abs(np.diff(visualize.mixed(weights, gain=90).astype(int))).max() > (
        flat.max()
    )
    np.testing.assert_array_equal(
        visualize.mixed(weights, gain=1e6)[..., :], visualize.SHARES[1]
    )


def test_more_shares_than_colours_are_refused():
    with pytest.raises(ValueError, match="6 shares, and only 5 colours"):
        visualize.mixed(np.ones((2, 6)))


def test_a_sheet_of_shares_has_a_map_of_each_image():
    weights = np.zeros((1, 2, 3))
    weights[0, 0, 0] = weights[0, 1, 2] = 0.7  # left the first thing, right the last
    sheet = visualize.shares([IMAGE] * 2, [weights] * 2, "abc", tile_width=80)
    row = visualize.GAP + visualize.LINE + visualize.GAP + 10
    left = 2 * visualize.GAP + 80
    np.testing.assert_array_equal(sheet[row, visualize.GAP + 10], [100, 100, 100])
    np.testing.assert_array_equal(sheet[row, left + 10], visualize.SHARES[0])
    np.testing.assert_array_equal(sheet[row + 48, left + 70], visualize.SHARES[2])


def test_equal_shares_are_drawn():
    sheet = visualize.shares([IMAGE], [np.ones((2, 2, 3))], "abc", tile_width=80)
    grey = np.mean(visualize.SHARES[:3], axis=0)
    row, left = 2 * visualize.GAP + visualize.LINE + 10, 2 * visualize.GAP + 80
    np.testing.assert_allclose(sheet[row, left + 10], grey, atol=0.5)


def test_a_sheet_has_a_tile_for_each_picture_and_words_above():
    dark, light = np.full((4, 8, 3), 9, np.uint8), np.full((4, 8, 3), 200, np.uint8)
    rows, words = [[dark, light], [light, dark]], [["a", "b"], ["c", "d"]]
    drawn = visualize.sheet(rows, words, tile_width=40)
    gap, line = visualize.GAP, visualize.LINE
    assert drawn.shape == (5 * gap + 2 * (line + 20), 2 * 40 + 3 * gap, 3)
    top = gap + line + gap + 10
    assert (drawn[top, gap + 20] == 9).all()
    assert (drawn[top, gap + 40 + gap + 20] == 200).all()
