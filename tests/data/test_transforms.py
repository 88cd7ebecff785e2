"""Augmentation: geometry, ranges, and the same result from the same numbers."""

import numpy as np
import pytest

from jaxseg.data.transforms import (
    TrainTransform,
    draw,
    offset,
    pad,
    resized_size,
    shift_brightness,
    vary_window,
)

STILL = dict(scale=(1, 1), aspect=(1, 1), flip=0.0, brightness=0)


def example(height=20, width=30):
    rng = np.random.default_rng(5)
    label = rng.integers(0, 9, (height, width), dtype=np.uint8)
    # The first channel repeats the label, so that both can be compared afterwards.
    noise = rng.integers(0, 256, (height, width), dtype=np.uint8)
    return {"image": np.stack([label * 20, noise, noise], 2), "label": label}


def apply(given=None, seed=0, **settings):
    transform = TrainTransform(**({"crop": (12, 16)} | settings))
    return transform(given or example(), np.random.default_rng(seed))


def test_equal_generators_give_equal_results():
    first, second, third = apply(seed=7), apply(seed=7), apply(seed=8)
    np.testing.assert_array_equal(first["image"], second["image"])
    np.testing.assert_array_equal(first["label"], second["label"])
    assert (first["image"] != third["image"]).any()


@pytest.mark.parametrize("crop", [(12, 16), (40, 50), (12, 50), (40, 16)])
def test_results_have_the_size_of_the_crop(crop):
    for seed in range(20):
        found = apply(seed=seed, crop=crop)
        assert found["image"].shape == (*crop, 3) and found["label"].shape == crop
        assert found["image"].dtype == found["label"].dtype == np.uint8


def test_a_crop_is_a_window_of_the_picture():
    given = example()
    found = apply(given, **STILL)
    windows = [
        given["image"][i : i + 12, j : j + 16] for i in range(9) for j in range(15)
    ]
    assert sum(np.array_equal(window, found["image"]) for window in windows) == 1


def test_picture_and_mask_stay_aligned():
    for seed in range(20):
        settings = STILL | dict(flip=0.5)
        found = apply(seed=seed, crop=(25, 16), **settings)
        inside = found["label"] != 255
        np.testing.assert_array_equal(
            found["image"][inside, 0], found["label"][inside] * 20
        )


def test_resized_picture_and_mask_stay_aligned():
    half = np.zeros((40, 60), np.uint8)
    half[:, 31:] = 1
    given = {"image": np.repeat(half[..., None] * 255, 3, 2), "label": half}
    for seed in range(20):
        found = apply(given, seed=seed, brightness=0)
        wrong = (found["image"][..., 0] > 127) != (found["label"] == 1)
        assert wrong[found["label"] != 255].mean() < 0.07  # the column of the edge


def test_flip_mirrors_both():
    given = example(12, 16)
    found = apply(given, **(STILL | dict(flip=1.0)))
    np.testing.assert_array_equal(found["image"], given["image"][:, ::-1])
    np.testing.assert_array_equal(found["label"], given["label"][:, ::-1])


def test_flip_happens_half_of_the_time():
    given = example(12, 16)
    settings = STILL | dict(flip=0.5)
    kept = [
        np.array_equal(apply(given, seed=s, **settings)["label"], given["label"])
        for s in range(200)
    ]
    assert 70 < sum(kept) < 130


def test_what_lies_outside_the_picture_is_fill_and_unlabelled():
    given = example(5, 6)
    found = apply(given, **STILL, fill=(1, 2, 3))
    outside = found["label"] == 255
    assert outside.sum() == 12 * 16 - 5 * 6
    np.testing.assert_array_equal(found["image"][outside], [[1, 2, 3]] * 162)
    np.testing.assert_array_equal(found["label"][~outside], given["label"].ravel())


def test_fill_is_not_brightened():
    settings = STILL | dict(brightness=10)
    for seed in range(10):
        found = apply(example(5, 6), seed=seed, **settings, fill=(1, 2, 3))
        assert (found["image"][found["label"] == 255] == (1, 2, 3)).all()


def test_brightness_is_one_shift_of_at_most_ten_levels():
    given = {
        "image": np.full((12, 16, 3), 100, np.uint8),
        "label": np.zeros((12, 16), np.uint8),
    }
    settings = STILL | dict(brightness=10)
    shifts = [apply(given, seed=s, **settings)["image"] for s in range(300)]
    assert all(len(np.unique(image)) == 1 for image in shifts)
    assert {int(image[0, 0, 0]) for image in shifts} == set(range(90, 111))


def test_brightness_stays_in_range():
    image = np.array([[[0, 5, 250]]], np.uint8)
    np.testing.assert_array_equal(shift_brightness(image, 10), [[[10, 15, 255]]])
    np.testing.assert_array_equal(shift_brightness(image, -10), [[[0, 0, 240]]])


def test_the_size_follows_scale_and_aspect():
    # int(100 * 1.5 / sqrt(1.1)), int(200 * 1.5 * sqrt(1.1)) by hand: 143.02, 314.64
    assert resized_size((100, 200), 1.5, 1.1) == (143, 314)
    assert resized_size((1, 1), 0.5, 1.0) == (1, 1)


def test_offsets_reach_both_ends():
    starts = [offset(np.array([3]), np.array([w]))[0] for w in (0, 0.26, 0.999)]
    assert starts == [0, 1, 3]


def test_padding_reaches_both_ends():
    one = np.ones((1, 1), np.uint8)
    assert pad(one, (3, 3), (0, 2), fill=0)[0, 2] == 1
    assert pad(one, (3, 3), (2, 0), fill=0)[2, 0] == 1


def test_as_many_numbers_are_drawn_for_every_size():
    settings = dict(crop=(12, 16), scale=(0.5, 2), aspect=(0.9, 1.1), flip=0.5)
    after = []
    for size in ((3, 4), (50, 60), (12, 16)):
        rng = np.random.default_rng(3)
        draw(size, rng, brightness=10, **settings)
        after.append(rng.random())
    assert after[0] == after[1] == after[2]


def test_the_choices_are_those_of_the_generator_in_this_order():
    """Runs that were begun before must go on with the same pictures."""
    settings = dict(crop=(12, 16), scale=(0.5, 2), aspect=(0.9, 1.1), flip=0.5)
    chosen = draw((20, 30), np.random.default_rng(6), brightness=10, **settings)
    rng = np.random.default_rng(6)
    size = resized_size((20, 30), rng.uniform(0.5, 2), rng.uniform(0.9, 1.1))
    room = [max(size[0] - 12, 0), max(size[1] - 16, 0)]
    corner = [int(w * (r + 1)) for w, r in zip(rng.random(2), room, strict=True)]
    flipped, shift = int(rng.random() < 0.5), int(rng.integers(-10, 11))
    missing = [max(12 - size[0], 0), max(16 - size[1], 0)]
    start = [int(w * (r + 1)) for w, r in zip(rng.random(2), missing, strict=True)]
    assert chosen == (*size, *corner, flipped, shift, *start)


def test_outside_of_16_bit_masks_is_their_largest_id():
    given = example(5, 6)
    given["label"] = given["label"].astype(np.uint16)
    found = apply(given, **STILL)["label"]
    assert found.dtype == np.uint16 and (found == 65535).sum() == 12 * 16 - 5 * 6


def test_what_else_an_example_holds_is_kept():
    given = example() | {"image_labels": np.array([True, False])}
    assert apply(given)["image_labels"] is given["image_labels"]


@pytest.mark.parametrize(
    "setting",
    [
        dict(crop=(0, 5)),
        dict(crop=(5,)),
        dict(scale=(2, 1)),
        dict(aspect=(0, 1)),
        dict(flip=2),
        dict(brightness=-1),
        dict(fill=(0, 0, 300)),
    ],
)
def test_settings_without_sense_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        TrainTransform(**({"crop": (4, 4)} | setting))


def test_the_scale_is_of_the_short_side():
    chosen = [
        draw(
            size,
            np.random.default_rng(0),
            crop=(8, 8),
            scale=(0.5, 0.5),
            aspect=(1, 1),
            flip=0.0,
            brightness=0,
            short_side=40,
        )
        for size in ((20, 30), (60, 10))
    ]
    assert [(c.height, c.width) for c in chosen] == [(20, 30), (120, 20)]


@pytest.mark.parametrize("size", [(20, 30), (60, 10)])
def test_the_scale_is_of_the_size_that_pictures_are_warped_to(size):
    given = example(*size)
    found = apply(given, crop=(13, 13), **STILL | dict(warp=(13, 13)))
    rows, columns = ((2 * np.arange(13) + 1) * side // 26 for side in size)
    np.testing.assert_array_equal(found["label"], given["label"][rows][:, columns])


def half_of_one_class():
    label = np.zeros((20, 60), np.uint8)
    label[:, 30:] = np.random.default_rng(1).integers(1, 5, (20, 30))
    return {"image": np.zeros((20, 60, 3), np.uint8), "label": label}


def largest_share(label):
    counts = np.bincount(label[label != 255])
    return counts.max() / counts.sum()


def test_windows_that_one_class_fills_are_drawn_again():
    settings = dict(crop=(10, 10)) | STILL
    plain, varied = (
        [
            largest_share(
                apply(half_of_one_class(), seed, max_class_share=share, **settings)[
                    "label"
                ]
            )
            for seed in range(40)
        ]
        for share in (1.0, 0.75)
    )
    assert np.mean(np.greater(plain, 0.75)) > 0.3
    assert np.mean(np.greater(varied, 0.75)) == 0


def test_a_picture_of_one_class_keeps_its_last_window():
    given = half_of_one_class()
    given["label"][:] = 3
    assert (apply(given, max_class_share=0.5, **STILL)["label"] == 3).all()


def test_windows_that_are_varied_do_not_change_the_rest():
    settings = STILL | dict(scale=(0.5, 1.0))
    size = [
        draw(
            (20, 60),
            np.random.default_rng(seed),
            crop=(10, 10),
            **settings,
        )
        for seed in range(3)
    ]
    for seed, chosen in enumerate(size):
        rng = np.random.default_rng(seed)
        label = half_of_one_class()["label"]
        moved = vary_window(chosen, label, rng, crop=(10, 10), max_class_share=0.5)
        assert moved._replace(top=chosen.top, left=chosen.left) == chosen


def test_distortion_changes_colours_and_no_label():
    plain, distorted = apply(seed=3, **STILL), apply(seed=3, distort=True, **STILL)
    np.testing.assert_array_equal(plain["label"], distorted["label"])
    assert (plain["image"] != distorted["image"]).any()


@pytest.mark.parametrize(
    "wrong",
    [
        dict(short_side=-1),
        dict(max_class_share=0),
        dict(warp=(8,)),
        dict(warp=(8, 8), short_side=8),
    ],
)
def test_settings_of_photographs_are_checked(wrong):
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        TrainTransform(crop=(8, 8), **wrong)
