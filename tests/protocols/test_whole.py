import numpy as np
import pytest

from jaxseg.protocols.whole import Whole
from tests.protocols.conftest import (
    FILL,
    assert_alone,
    compute,
    on_canvases,
    pictures,
)


def test_pictures_of_their_canvases_size_are_exact(network, alone):
    images = pictures([(21, 30), (21, 30)])
    batch, sizes = on_canvases(images, (21, 30))
    assert_alone(compute(Whole(), network, batch, sizes), images, alone, atol=1e-5)


def test_padding_is_what_the_network_sees_of_a_larger_canvas(network, alone):
    images = pictures([(13, 17), (20, 9), (1, 1)])
    batch, sizes = on_canvases(images, (21, 30))

    def padded(image):
        canvas = np.empty((21, 30, 3), np.uint8)
        canvas[:] = FILL
        canvas[: image.shape[0], : image.shape[1]] = image
        return alone(canvas)[: image.shape[0], : image.shape[1]]

    assert_alone(compute(Whole(), network, batch, sizes), images, padded, atol=1e-5)


def test_a_multiple_pads_and_cuts_off_again(network, alone):
    images = pictures([(13, 17)])
    batch, sizes = on_canvases(images, (13, 17))

    def padded(image):
        canvas = np.empty((16, 24, 3), np.uint8)
        canvas[:] = FILL
        canvas[:13, :17] = image
        return alone(canvas)[:13, :17]

    ours = compute(Whole(multiple=8), network, batch, sizes)
    assert ours.shape[1:3] == (13, 17)
    assert_alone(ours, images, padded, atol=1e-5)


def test_what_lies_around_a_picture_changes_nothing(network):
    images = pictures([(13, 17), (20, 9)])
    results = []
    for seed in (1, 2):
        batch, sizes = on_canvases(images, (21, 30), seed)
        results.append(compute(Whole(), network, batch, sizes))
    np.testing.assert_array_equal(*results)


def test_a_multiple_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Whole(multiple=0)
