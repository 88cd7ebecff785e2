import dataclasses

import numpy as np
import pytest

from jaxseg.protocols import resized
from jaxseg.protocols.multiscale import MultiScale
from jaxseg.protocols.resized import Resized
from jaxseg.protocols.sliding import Sliding
from tests.protocols.conftest import (
    FILL,
    assert_alone,
    compute,
    on_canvases,
    pictures,
)
from tests.protocols.test_multiscale import interpolate
from tests.protocols.test_sliding import loop

SIZES = [(40, 50), (50, 40), (20, 50), (30, 30)]


def composition(torch, see, shape, *, multiple=1, align_corners=False):
    """Resize, pad, look, cut off, resize back, of one picture, with torch."""

    def logits(image):
        small = interpolate(torch, image, shape, align_corners)
        padded = np.empty(
            (*(-(-side // multiple) * multiple for side in shape), 3), np.float32
        )
        padded[:] = FILL
        padded[: shape[0], : shape[1]] = small
        cut = see(padded)[: shape[0], : shape[1]]
        return interpolate(torch, cut, image.shape[:2], align_corners)

    return logits


def on_its_own_canvas(protocol, network, image):
    batch, sizes = on_canvases([image], image.shape[:2])
    return compute(protocol.fit(sizes), network, batch, sizes)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("size", "options", "shape"),
    [
        ((40, 50), dict(short_side=20), (20, 25)),
        ((50, 40), dict(short_side=20), (25, 20)),
        ((40, 50), dict(long_side=30), (24, 30)),
        ((20, 50), dict(short_side=20, long_side=30), (12, 30)),
        ((31, 47), dict(size=(24, 24)), (24, 24)),
        ((1, 1), dict(short_side=9), (9, 9)),
    ],
)
def test_equals_a_composition_in_torch(
    torch, network, alone, size, options, shape, align_corners
):
    (image,) = pictures([size])
    protocol = Resized(**options, multiple=8, step=8, align_corners=align_corners)
    ours = on_its_own_canvas(protocol, network, image)
    expected = composition(torch, alone, shape, multiple=8, align_corners=align_corners)
    assert_alone(ours, [image], expected)


def test_windows_of_mixed_sizes_equal_each_picture_alone(torch, network, alone):
    images = pictures(SIZES)
    batch, sizes = on_canvases(images, (60, 50))
    protocol = Resized(short_side=24, inner=Sliding(window=(16, 16), stride=(10, 10)))
    ours = compute(protocol.fit(sizes), network, batch, sizes)
    windows = loop(alone, (16, 16), (10, 10))
    for i, (image, (height, width)) in enumerate(zip(images, SIZES, strict=True)):
        short = min(height, width)
        expected = composition(
            torch, windows, (24 * height // short, 24 * width // short)
        )
        assert_alone(ours[i : i + 1], [image], expected)


def test_multiple_scales_inside_are_about_the_resized_picture(torch, network, alone):
    from tests.protocols.test_multiscale import SCALES
    from tests.protocols.test_multiscale import composition as scales

    (image,) = pictures([(40, 50)])
    protocol = Resized(short_side=20, inner=MultiScale(scales=SCALES), step=1)
    ours = on_its_own_canvas(protocol, network, image)
    expected = composition(torch, scales(torch, alone, alone), (20, 25))
    assert_alone(ours, [image], expected)


def test_class_ids_by_strips_are_those_of_the_logits(network, monkeypatch):
    monkeypatch.setattr(resized, "STRIP_ELEMENTS", 4 * 50 * 5 * 7)  # seven rows
    batch, sizes = on_canvases(pictures(SIZES), (50, 50))
    protocol = Resized(short_side=24).fit(sizes)
    logits = compute(protocol, network, batch, sizes)
    ids = np.asarray(protocol.class_ids(network, batch, sizes, fill=FILL))
    assert ids.dtype == np.int32
    for i, (h, w) in enumerate(SIZES):
        np.testing.assert_array_equal(ids[i, :h, :w], logits[i, :h, :w].argmax(-1))


def test_a_picture_larger_than_the_limit_gets_nearest_classes(network):
    images = pictures([(40, 50), (15, 12)])
    batch, sizes = on_canvases(images, (40, 50))
    protocol = Resized(short_side=24, largest=20).fit(sizes)
    ids = np.asarray(protocol.class_ids(network, batch, sizes, fill=FILL))
    plain = dataclasses.replace(protocol, largest=0)
    unlimited = np.asarray(plain.class_ids(network, batch, sizes, fill=FILL))
    np.testing.assert_array_equal(ids[1, :15, :12], unlimited[1, :15, :12])
    rows, columns = np.arange(40) * 16 // 40, np.arange(50) * 20 // 50
    for i, j in ((0, 1), (7, 20), (39, 49)):
        same = ids[0, rows == rows[i]][:, columns == columns[j]]
        assert (same == same[0, 0]).all()


def test_smoothed_pictures_are_as_pillow_shrinks_them():
    from PIL import Image

    image = pictures([(40, 50)])[0]
    seen = []
    protocol = Resized(size=(13, 20), smooth=True, step=1).fit(np.array([[40, 50]]))
    protocol(
        lambda x: seen.append(np.asarray(x)) or x,
        image[None],
        np.array([[40, 50]]),
        fill=FILL,
    )
    wanted = Image.fromarray(image).resize((20, 13), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(
        seen[0][0, :13, :20], wanted, atol=1.01
    )  # it rounds twice


@pytest.mark.parametrize("canvas", [(40, 50), (64, 80)])
def test_host_and_device_agree_on_sizes(canvas):
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 3000, (500, 2))
    for protocol in (
        Resized(short_side=520),
        Resized(short_side=512, long_side=2048),
        Resized(long_side=512),
    ):
        host = protocol.resized(sizes, np)
        np.testing.assert_array_equal(protocol.resized(sizes.astype(np.int32)), host)
        exact = (
            sizes
            * (
                np.minimum(
                    (protocol.short_side or np.inf) / sizes.min(1),
                    (protocol.long_side or np.inf) / sizes.max(1),
                )
            )[:, None]
        )
        assert (np.abs(host - np.maximum(exact, 1)) < 1.001).all()


def test_many_sizes_share_a_handful_of_canvases():
    sizes = [(375, w) for w in range(375, 575)]
    protocol = Resized(short_side=520, multiple=8)
    canvases = {protocol.fit(np.array([size])).canvas for size in sizes}
    assert len(canvases) <= 6 and min(canvases) == (520, 520)


def test_without_a_canvas_there_is_no_answer(network):
    batch, sizes = on_canvases(pictures([(8, 8)]), (8, 8))
    with pytest.raises(ValueError, match="fit"):
        Resized(short_side=4)(network, batch, sizes, fill=FILL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(), "give short_side"),
        (dict(short_side=8, size=(8, 8)), "give short_side"),
        (dict(short_side=16, long_side=8), "less than short_side"),
        (dict(short_side=-1), "negative"),
        (dict(short_side=8, multiple=8, step=12), "must be a multiple"),
        (dict(short_side=8, inner=Resized(short_side=4)), "twice"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Resized(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(size=(24, 24), compare_at="pixels"), "compare_at is one of"),
        (dict(short_side=24, compare_at="map"), "needs one size"),
        (dict(size=(24, 24), largest=40, compare_at="resized"), "needs one size"),
        (dict(size=(24, 24), multiple=8, compare_at="map"), "leave out multiple"),
        (
            dict(size=(24, 24), inner=Sliding(window=(8, 8)), compare_at="map"),
            "leave out multiple and inner",
        ),
    ],
)
def test_where_to_compare_must_be_possible(options, message):
    with pytest.raises(ValueError, match=message):
        Resized(**options)


def test_what_is_shown_is_what_the_network_gets():
    images = pictures([(31, 47)])
    batch, sizes = on_canvases(images, (40, 50))
    protocol = Resized(short_side=20, multiple=8, step=8).fit(sizes)
    got = []
    protocol(lambda x: got.append(x) or x, batch, sizes, fill=FILL)
    shown, (size,) = protocol.shown(batch, sizes)
    assert tuple(size) == (20, 47 * 20 // 31)
    (seen,) = got
    height, width = size
    np.testing.assert_array_equal(shown[:, :height, :width], seen[:, :height, :width])
    own, own_size = MultiScale(scales=(1.0,), flip=False).shown(batch, sizes)
    assert own is batch and own_size is sizes
