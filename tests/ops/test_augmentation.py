"""On the device as on the host: masks exactly, pictures within rounding."""

import functools

import jax
import numpy as np
import pytest

from jaxseg import sharding
from jaxseg.config import ConfigError
from jaxseg.data import extras, inputs
from jaxseg.data.transforms import DeferredTransform, TrainTransform
from jaxseg.ops.augmentation import augment
from tests.test_train import make_config

FILL = (1, 2, 3)
STILL = dict(scale=(1, 1), aspect=(1, 1), brightness=0, flip=0.0)

needs_opencv = pytest.mark.skipif(
    not extras.installed("cv2"), reason="without OpenCV the host resizes otherwise"
)


def example(seed, size=None):
    rng = np.random.default_rng(seed)
    height, width = size or rng.integers(9, 60, 2)
    return {
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "label": rng.integers(0, 9, (height, width), dtype=np.uint8),
    }


def on_host(examples, **settings):
    transform = TrainTransform(fill=FILL, **settings)
    made = [transform(e, np.random.default_rng(i)) for i, e in enumerate(examples)]
    return [np.stack([m[key] for m in made]) for key in ("image", "label")]


def deferred(examples, **settings):
    transform = DeferredTransform(fill=FILL, canvas=(64, 80), **settings)
    made = [transform(e, np.random.default_rng(i)) for i, e in enumerate(examples)]
    keys = ("image", "label", "size", "choices")
    return [np.stack([m[key] for m in made]) for key in keys]


def compiled(crop):
    return jax.jit(functools.partial(augment, crop=crop, fill=FILL))


def on_device(examples, **settings):
    found = compiled(settings["crop"])(*deferred(examples, **settings))
    return [np.asarray(array) for array in found]


def levels_apart(one, other):
    return np.abs(one.astype(int) - other)


@needs_opencv
@pytest.mark.parametrize("crop", [(24, 32), (40, 50), (64, 20)])
def test_pictures_are_those_of_the_host_within_a_level_and_masks_exactly(crop):
    examples = [example(seed) for seed in range(24)]
    settings = dict(crop=crop, flip=0.5, brightness=10)
    images, labels = on_host(examples, **settings)
    found, ids = on_device(examples, **settings)
    np.testing.assert_array_equal(ids, labels)
    apart = levels_apart(found, images)
    assert apart.max() <= 1 and (apart > 0).mean() < 0.05


@pytest.mark.parametrize("crop", [(24, 32), (64, 80)])
def test_without_resizing_pictures_are_exactly_those_of_the_host(crop):
    examples = [example(seed) for seed in range(12)]
    settings = STILL | dict(crop=crop, flip=0.5, brightness=10)
    for found, expected in zip(
        on_device(examples, **settings), on_host(examples, **settings), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def slow_cubic(row, new_size):
    """Keys' kernel with a = -3/4, one output pixel and one tap at a time."""
    result = []
    for i in range(new_size):
        position = (i + 0.5) * len(row) / new_size - 0.5
        total = 0.0
        for tap in range(int(np.floor(position)) - 1, int(np.floor(position)) + 3):
            d = abs(position - tap)
            near = 1.25 * d**3 - 2.25 * d**2 + 1
            far = -0.75 * (d**3 - 5 * d**2 + 8 * d - 4)
            total += (near if d <= 1 else far) * row[min(max(tap, 0), len(row) - 1)]
        result.append(total)
    return np.clip(np.floor(np.array(result) + 0.5), 0, 255)


@pytest.mark.parametrize("new", [7, 11, 29])
def test_a_row_is_resized_by_cubic_convolution(new):
    row = np.random.default_rng(0).integers(0, 256, 13)
    image = np.repeat(row[None, :, None], 3, 2).astype(np.uint8)
    size, choices = [[1, 13]], [[1, new, 0, 0, 0, 0, 0, 0, 255]]
    found, _ = compiled((1, new))(
        image[None], np.zeros((1, 1, 13), int), np.array(size), np.array(choices)
    )
    assert levels_apart(np.asarray(found)[0, 0, :, 0], slow_cubic(row, new)).max() <= 1


def test_what_lies_on_the_canvas_around_a_picture_is_not_seen():
    examples = [example(seed, (20, 30)) for seed in range(4)]
    settings = dict(crop=(24, 32), scale=(0.8, 1.3))
    arrays = deferred(examples, **settings)
    run = compiled((24, 32))
    plain = run(*arrays)
    arrays[0][:, 20:], arrays[0][:, :, 30:] = 77, 88
    arrays[1][:, 20:], arrays[1][:, :, 30:] = 7, 8
    for one, other in zip(plain, run(*arrays), strict=True):
        np.testing.assert_array_equal(one, other)


def test_compiled_for_eight_devices_it_is_the_same_and_none_gathers():
    examples = [example(seed) for seed in range(8)]
    arrays = deferred(examples, crop=(24, 32))
    plain = augment(*arrays, crop=(24, 32), fill=FILL)
    placed = sharding.to_devices(dict(enumerate(arrays)), sharding.make_mesh(8))
    program = compiled((24, 32)).lower(*placed.values()).compile()
    image, label = program(*placed.values())
    assert len(image.sharding.device_set) == 8
    assert "all-gather" not in program.as_text()
    assert levels_apart(np.asarray(image), np.asarray(plain[0])).max() <= 1
    np.testing.assert_array_equal(label, plain[1])


def batches_of(**data):
    config = make_config(data__crop=(24, 40))
    config["data"] |= data
    dataset = inputs.make_dataset(config)
    with inputs.training_batches(config, dataset, start_step=2) as batches:
        return inputs.device_augmentation(config)(next(batches))


@needs_opencv
def test_a_config_gives_the_same_batch_by_either_way():
    host = batches_of(augment_on="host")
    device = batches_of(augment_on="device", canvas=[32, 64])
    assert host.keys() == device.keys()
    np.testing.assert_array_equal(host["label"], device["label"])
    assert levels_apart(host["image"], np.asarray(device["image"])).max() <= 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (dict(augment_on="gpu"), "'host' or 'device'"),
        (dict(augment_on="device"), "canvas"),
        (dict(augment_on="device", canvas=(8, 8)), "does not fit data.canvas"),
        (dict(canvas=(64, 64)), "no key 'canvas'"),
        (dict(augment_on="device", transform="views.MultiCrop"), "on the host only"),
    ],
)
def test_settings_without_sense_are_refused(data, message):
    with pytest.raises((ConfigError, ValueError), match=message):
        batches_of(**data)


def test_short_sides_and_varied_windows_are_the_hosts():
    examples = [example(seed) for seed in range(4)]
    settings = dict(crop=(24, 32), short_side=30, max_class_share=0.12)
    _, on_the_host = on_host(examples, **settings)
    _, found = on_device(examples, **settings)
    np.testing.assert_array_equal(found, on_the_host)


def test_warped_pictures_are_the_hosts():
    examples = [example(seed) for seed in range(2)]
    settings = dict(crop=(24, 32), warp=(40, 40), scale=(0.5, 1.5))
    _, on_the_host = on_host(examples, **settings)
    _, found = on_device(examples, **settings)
    np.testing.assert_array_equal(found, on_the_host)


def test_distortion_is_refused_on_the_device():
    with pytest.raises(ValueError, match="augment_on='host'"):
        DeferredTransform(crop=(8, 8), canvas=(64, 80), distort=True)
