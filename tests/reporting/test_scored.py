import io

import numpy as np
import pytest
from PIL import Image

from jaxseg import visualize
from jaxseg.data.labels import LabelSet
from jaxseg.reporting import scored

LABELS = LabelSet(("sky", "road"), ((10, 20, 200), (200, 100, 0)))


def picture(height=40, width=60, **parts):
    """Sky above road; the network sees road only; the left edge is unlabelled."""
    truth = np.zeros((height, width), np.uint8)
    truth[height // 2 :] = 1
    truth[:, : width // 4] = 255
    values = dict(
        name="a",
        score=0.25,
        image=np.full((height, width, 3), 128, np.uint8),
        truth=truth,
        prediction=np.ones((height, width), np.uint8),
    )
    return scored.ScoredPicture(**{**values, **parts})


def decoded(tile):
    return np.asarray(Image.open(io.BytesIO(tile)).convert("RGB")).astype(int)


def test_a_small_picture_keeps_its_size():
    drawn = scored.tiles(picture(), LABELS)
    assert list(drawn) == ["image", "truth", "prediction", "error"]
    assert {decoded(tile).shape for tile in drawn.values()} == {(40, 60, 3)}


def test_truth_and_prediction_lie_over_the_picture():
    drawn = scored.tiles(picture(), LABELS)
    over = visualize.overlay(*(np.array(x) for x in ([[[128] * 3]], [[1]])), LABELS)
    assert np.abs(decoded(drawn["prediction"])[30, 40] - over[0, 0]).max() < 12
    assert np.abs(decoded(drawn["truth"])[30, 40] - over[0, 0]).max() < 12
    assert np.abs(decoded(drawn["truth"])[30, 4] - 128).max() < 12  # unlabelled


def test_errors_are_right_wrong_and_unlabelled():
    error = decoded(scored.tiles(picture(), LABELS)["error"])
    shown = {"wrong": error[8, 40], "right": error[32, 40], "unlabelled": error[20, 4]}
    for name, colour in visualize.ERROR_LEGEND:
        assert np.abs(shown[name] - colour).max() < 24


def test_a_large_picture_is_shrunk_and_its_ids_are_not_mixed():
    drawn = scored.tiles(picture(900, 1800), LABELS)
    assert decoded(drawn["truth"]).shape == (240, scored.TILE_SIDE, 3)
    error = decoded(drawn["error"])
    assert (np.abs(error[:100, 200:] - error[50, 300]).max(axis=(0, 1)) < 12).all()


def test_noise_fits_the_limit_too():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (600, 600, 3), np.uint8)
    ids = rng.integers(0, 2, (600, 600))
    drawn = scored.tiles(picture(600, 600, image=noise, prediction=ids), LABELS)
    assert max(map(len, drawn.values())) <= scored.TILE_BYTES


def test_a_limit_that_nothing_meets_ends_at_one_pixel():
    tile = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    assert decoded(scored.encode(tile, limit=1)).shape == (1, 1, 3)


def test_the_largest_class_stands_first_in_the_legend():
    assert scored.legend(picture(), LABELS) == [1, 0]
    only = picture(truth=np.full((40, 60), 255))
    assert scored.legend(only, LABELS) == [1]


def test_a_legend_ends():
    many = LabelSet(tuple(map(str, range(99))), ((0, 0, 0),) * 99)
    ids = np.arange(40 * 60).reshape(40, 60) % 99
    assert len(scored.legend(picture(truth=ids), many)) == scored.MOST_IN_LEGEND


@pytest.mark.slow
def test_a_picture_of_a_hundred_megapixels_is_drawn():
    large = scored.shrunk(picture(9_000, 12_000))
    assert large.image.shape == (360, 480, 3)
    assert large.truth.shape == large.prediction.shape == (360, 480)
    assert np.unique(large.truth[:, 200]).tolist() == [0, 1]


@pytest.mark.parametrize(
    "parts, message",
    [
        (dict(image=np.zeros((40, 60, 3))), "a: need uint8"),
        (dict(truth=np.zeros((4, 4), int)), "a: .*not of one size"),
    ],
)
def test_unfit_pictures_are_named(parts, message):
    with pytest.raises(ValueError, match=message):
        scored.tiles(picture(**parts), LABELS)
