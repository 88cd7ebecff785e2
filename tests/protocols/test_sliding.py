import jax
import numpy as np
import pytest

from jaxseg.protocols.sliding import Sliding
from tests.protocols.conftest import (
    CLASSES,
    FILL,
    assert_alone,
    compute,
    on_canvases,
    pictures,
)

SIZES = [(40, 50), (16, 24), (17, 24), (9, 40), (1, 1), (33, 25)]


def starts(length, window, stride):
    """Where windows begin, one after the other."""
    if length <= window:
        return [0]
    result = list(range(0, length - window, stride))
    return [*result, length - window]


def loop(alone, window, stride):
    """The protocol of one picture in plain loops."""

    def logits(image):
        height, width = image.shape[:2]
        (h, w), (down, right) = window, stride
        padded = np.empty((max(height, h), max(width, w), 3), image.dtype)
        padded[:] = FILL
        padded[:height, :width] = image
        total = np.zeros((*padded.shape[:2], CLASSES))
        count = np.zeros((*padded.shape[:2], 1))
        for top in starts(height, h, down):
            for left in starts(width, w, right):
                here = slice(top, top + h), slice(left, left + w)
                total[here] += alone(padded[here])
                count[here] += 1
        assert count.min() > 0
        return (total / count)[:height, :width]

    return logits


@pytest.mark.parametrize("windows_at_once", [1, 5])
@pytest.mark.parametrize(
    ("window", "stride"), [((16, 24), (10, 16)), ((16, 24), ()), ((40, 50), (1, 50))]
)
def test_equals_a_loop_over_windows(network, alone, window, stride, windows_at_once):
    images = pictures(SIZES)
    batch, sizes = on_canvases(images, (40, 50))
    protocol = Sliding(window=window, stride=stride, windows_at_once=windows_at_once)
    ours = compute(protocol, network, batch, sizes)
    assert_alone(ours, images, loop(alone, window, stride or window))


def test_a_window_larger_than_the_canvas_is_filled_up(network, alone):
    images = pictures([(20, 30), (12, 7)])
    batch, sizes = on_canvases(images, (20, 30))
    ours = compute(Sliding(window=(32, 24), stride=(8, 8)), network, batch, sizes)
    assert ours.shape == (2, 20, 30, CLASSES)
    assert_alone(ours, images, loop(alone, (32, 24), (8, 8)))


def test_the_canvas_changes_nothing(network):
    images = pictures(SIZES)
    protocol = Sliding(window=(16, 24), stride=(8, 8))
    small, large = (
        compute(protocol, network, *on_canvases(images, canvas))
        for canvas in ((40, 50), (64, 51))
    )
    for one, other, (h, w) in zip(small, large, SIZES, strict=True):
        np.testing.assert_allclose(one[:h, :w], other[:h, :w], atol=1e-5)


def test_windows_that_no_picture_has_are_not_computed(network):
    seen = []

    def watched(image):
        jax.debug.callback(lambda image: seen.append(len(image)), image)
        return network(image)

    batch, sizes = on_canvases(pictures([(40, 50), (10, 10)]), (40, 50))
    compute(Sliding(window=(20, 25), windows_at_once=2), watched, batch, sizes)
    jax.effects_barrier()
    assert sum(seen) == 6  # four windows and one, by twos


def test_a_constant_stays_what_it_is():
    images = pictures(SIZES)
    batch, sizes = on_canvases(images, (40, 50))
    one = lambda image: np.ones((*image.shape[:3], 2), np.float32)  # noqa: E731
    ours = compute(Sliding(window=(16, 24), stride=(5, 7)), one, batch, sizes)
    for logits, (h, w) in zip(ours, SIZES, strict=True):
        np.testing.assert_allclose(logits[:h, :w], 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(window=(16, 16), stride=(17, 8)), "no window holds"),
        (dict(window=(16, 16), stride=(0, 8)), "no window holds"),
        (dict(window=(16, 16), stride=(8,)), "down, right"),
        (dict(window=(16,)), "height, width"),
        (dict(window=(16, 16), windows_at_once=0), "at least 1"),
    ],
)
def test_windows_that_cannot_cover_a_picture_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sliding(**options)
