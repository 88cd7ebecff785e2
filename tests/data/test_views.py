"""Views: shapes, rectangles that say where pixels are from, and their distribution."""

import numpy as np
import pytest

from jaxseg.data import colour_jitter
from jaxseg.data.pipeline import train_batches
from jaxseg.data.views import RATIO, MultiCrop, Rectangle, crop, draw_rectangle
from tests.data.test_pipeline import Numbers, assert_same, take

STILL = dict(flip=0.0, jitter=0.0, grey=0.0, blur=0.0)
IMAGE = np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def views(image=IMAGE, seed=0, **settings):
    return MultiCrop(**settings)({"image": image}, np.random.default_rng(seed))


def slow_resize(part, size):
    """Triangle filter, widened when shrinking, one pixel and one axis at a time."""
    for axis in (1, 0):
        part = np.moveaxis(part.astype(float), axis, 0)
        scale = len(part) / size
        width = max(scale, 1.0)
        rows = []
        for i in range(size):
            distance = np.abs(np.arange(len(part)) + 0.5 - (i + 0.5) * scale) / width
            weight = np.maximum(1 - distance, 0)
            rows.append(np.tensordot(weight / weight.sum(), part, 1))
        part = np.moveaxis(np.floor(np.array(rows) + 0.5), 0, axis)
    return part


@pytest.mark.parametrize(
    "where",
    [Rectangle(10, 5, 60, 40), Rectangle(0, 0, 7, 9), Rectangle(70, 50, 20, 10)],
)
def test_a_crop_is_a_smoothed_resize_of_its_part_alone(where):
    left, top, width, height = where
    part = IMAGE[top : top + height, left : left + width]
    assert np.abs(crop(IMAGE, where, 16) - slow_resize(part, 16)).max() <= 1


def test_shapes_are_static():
    found = views()
    assert {key: (value.shape, value.dtype) for key, value in found.items()} == {
        "crops_224": ((2, 224, 224, 3), np.uint8),
        "crops_96": ((6, 96, 96, 3), np.uint8),
        "rects": ((2, 5), np.float32),
    }


def test_one_group_is_enough():
    settings = dict(sizes=(32,), counts=(3,), scales=((0.08, 1.0),))
    found = views(**settings)
    assert found.keys() == {"crops_32", "rects"} and found["rects"].shape == (3, 5)


def test_rectangles_say_where_the_pixels_are_from():
    """The picture's channels are its coordinates, so crops can be checked by them."""
    rows, columns = np.mgrid[:200, :250].astype(np.uint8)
    found = views(np.stack([columns, rows, rows], 2), **(STILL | dict(flip=0.5)))
    for view, rect in zip(found["crops_224"], found["rects"], strict=True):
        left, top, width, height, flipped = rect
        across = left + (np.arange(224) + 0.5) * width / 224 - 0.5
        down = top + (np.arange(224) + 0.5) * height / 224 - 0.5
        middle = slice(4, -4)  # at the border the filter has pixels on one side only
        expected = np.broadcast_to(across[::-1] if flipped else across, (224, 224))
        inside = (middle, middle)
        np.testing.assert_allclose(view[inside][..., 0], expected[inside], atol=1.1)
        expected = np.broadcast_to(down[:, None], (224, 224))
        np.testing.assert_allclose(view[inside][..., 1], expected[inside], atol=1.1)


def test_rectangles_have_the_areas_and_shapes_asked_for():
    rng = np.random.default_rng(0)
    drawn = [draw_rectangle((300, 400), rng, scale=(0.2, 0.6)) for _ in range(2000)]
    areas = np.array([r.width * r.height for r in drawn]) / (300 * 400)
    ratios = np.log([r.width / r.height for r in drawn])
    assert areas.min() > 0.195 and areas.max() < 0.605
    assert areas.mean() == pytest.approx(0.4, abs=0.01)
    assert np.abs(ratios).max() < np.log(RATIO[1]) + 0.02
    assert ratios.mean() == pytest.approx(0, abs=0.02)  # uniform in the logarithm
    assert ratios.std() == pytest.approx(np.log(RATIO[1]) / np.sqrt(3), abs=0.01)


def test_rectangles_reach_all_borders():
    rng = np.random.default_rng(0)
    drawn = [draw_rectangle((8, 9), rng, scale=(0.3, 0.5)) for _ in range(1000)]
    assert min(r.left for r in drawn) == min(r.top for r in drawn) == 0
    assert max(r.left + r.width for r in drawn) == 9
    assert max(r.top + r.height for r in drawn) == 8


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((100, 1000), Rectangle(433, 0, 133, 100)),
        ((1000, 100), Rectangle(0, 433, 100, 133)),
        ((100, 100), Rectangle(0, 0, 100, 100)),
    ],
)
def test_what_never_fits_is_the_middle(size, expected):
    class Never:
        def uniform(self, low, high):
            return high if high == 9.0 else 0.0  # an area nine times the picture's

    assert draw_rectangle(size, Never(), scale=(9.0, 9.0)) == expected


def test_views_are_independent_of_how_many_there_are():
    few = views(**STILL, counts=(2, 1))
    np.testing.assert_array_equal(few["crops_224"], views(**STILL)["crops_224"])
    np.testing.assert_array_equal(few["crops_96"][0], views(**STILL)["crops_96"][0])


def test_changes_come_in_the_order_of_the_paper():
    """Crop, flip, jitter, grey, blur, each of them certain here."""
    always = MultiCrop(flip=1.0, jitter=1.0, grey=1.0, blur=1.0)
    found, rect = always.view(IMAGE, np.random.default_rng(4), 32, (0.2, 0.9))
    rng = np.random.default_rng(4)
    where = draw_rectangle((60, 90), rng, scale=(0.2, 0.9))
    expected = crop(IMAGE, where, 32)
    rng.random()
    expected = expected[:, ::-1]
    rng.random()
    expected = colour_jitter.jitter(
        expected, rng, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2
    )
    rng.random()
    expected = colour_jitter.to_grey(expected)
    rng.random()
    expected = colour_jitter.blur(expected, rng.uniform(0.1, 2.0))
    np.testing.assert_array_equal(found, expected)
    assert rect.tolist() == [*where, 1]


def test_probabilities_are_kept():
    settings = STILL | dict(grey=0.2, sizes=(8,), counts=(400,), scales=((0.1, 1.0),))
    crops = views(**settings)["crops_8"]
    grey = (crops == crops[..., :1]).all(axis=(1, 2, 3))
    assert 50 < grey.sum() < 110


def test_batches_of_views_resume_and_do_not_depend_on_the_loader():
    transform = MultiCrop(sizes=(12, 6), counts=(2, 3))
    given = dict(transform=transform, seed=0, batch_size=3)
    source = Numbers(7, sizes={2: (30, 20), 4: (9, 50)})
    whole = take(train_batches(source, **given), 5)
    assert whole[0]["crops_12"].shape == (3, 2, 12, 12, 3)
    assert whole[0]["rects"].shape == (3, 2, 5) and whole[0]["valid"].all()
    assert_same(take(train_batches(source, start_step=3, **given), 2), whole[3:])
    assert_same(take(train_batches(source, loader="grain", **given), 5), whole)


@pytest.mark.parametrize(
    "setting",
    [
        dict(sizes=(224,)),
        dict(sizes=(96, 96)),
        dict(counts=(2, 0)),
        dict(scales=((0, 1.0), (0.1, 0.2))),
        dict(hue=0.7),
    ],
)
def test_settings_without_sense_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        MultiCrop(**setting)
