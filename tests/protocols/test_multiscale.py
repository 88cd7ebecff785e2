import jax
import numpy as np
import pytest

from jaxseg.protocols.multiscale import MultiScale, mirror, scaled
from jaxseg.protocols.resized import Resized
from jaxseg.protocols.sliding import Sliding
from jaxseg.protocols.whole import Whole
from tests.protocols.conftest import assert_alone, compute, on_canvases, pictures
from tests.protocols.test_sliding import loop

SCALES = (0.5, 0.75, 1.0, 1.75)


def interpolate(torch, x, shape, align_corners):
    x = torch.from_numpy(np.moveaxis(np.asarray(x, np.float32), -1, 0).copy())[None]
    x = torch.nn.functional.interpolate(
        x, shape, mode="bilinear", align_corners=align_corners
    )
    return np.moveaxis(x[0].numpy(), 0, -1)


def composition(torch, inner, whole, *, rule="logits", flip=True, align_corners=True):
    """The protocol of one picture, with torch's interpolation."""

    def logits(image):
        height, width = image.shape[:2]
        answers = []
        for scale in SCALES:
            shape = max(int(height * scale), 1), max(int(width * scale), 1)
            resized = interpolate(torch, image, shape, align_corners)
            see = whole if scale < 1 else inner
            seen = [see(resized)]
            if flip:
                seen.append(see(resized[:, ::-1])[:, ::-1])
            answers += [
                interpolate(torch, x, (height, width), align_corners) for x in seen
            ]
        if rule == "maximum":
            return np.max(answers, axis=0)
        if rule == "probabilities":
            answers = [np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in answers]
        return np.mean(answers, axis=0)

    return logits


@pytest.mark.parametrize("rule", ["logits", "probabilities", "maximum"])
@pytest.mark.parametrize("align_corners", [True, False])
def test_equals_a_composition_in_torch(torch, network, alone, rule, align_corners):
    images = pictures([(24, 30), (24, 30)])
    options = dict(rule=rule, align_corners=align_corners)
    batch, sizes = on_canvases(images, (24, 30))
    ours = compute(MultiScale(scales=SCALES, **options), network, batch, sizes)
    assert_alone(ours, images, composition(torch, alone, alone, **options))


def test_without_mirroring_there_is_none(torch, network, alone):
    images = pictures([(24, 30)])
    batch, sizes = on_canvases(images, (24, 30))
    ours = compute(MultiScale(scales=SCALES, flip=False), network, batch, sizes)
    assert_alone(ours, images, composition(torch, alone, alone, flip=False))


def test_windows_of_mixed_sizes_equal_the_composition(torch, network, alone):
    images = pictures([(40, 50), (24, 30), (33, 21)])
    batch, sizes = on_canvases(images, (40, 50))
    inner = Sliding(window=(20, 16), stride=(12, 12))
    protocol = MultiScale(inner=inner, scales=SCALES, whole_below=0)
    windows = loop(alone, (20, 16), (12, 12))
    expected = composition(torch, windows, windows)
    assert_alone(compute(protocol, network, batch, sizes), images, expected)


def test_small_scales_see_the_whole_picture(torch, network, alone):
    images = pictures([(40, 50)])
    batch, sizes = on_canvases(images, (40, 50))
    protocol = MultiScale(
        inner=Sliding(window=(20, 16), stride=(12, 12)), scales=SCALES
    )
    expected = composition(torch, loop(alone, (20, 16), (12, 12)), alone)
    assert_alone(compute(protocol, network, batch, sizes), images, expected)


def test_one_scale_without_mirroring_is_the_inner_protocol(network):
    batch, sizes = on_canvases(pictures([(13, 17), (20, 9)]), (21, 30))
    ours = compute(MultiScale(scales=(1.0,), flip=False), network, batch, sizes)
    np.testing.assert_array_equal(ours, compute(Whole(), network, batch, sizes))


def test_a_mirrored_picture_gets_mirrored_logits(network):
    images = pictures([(13, 17), (20, 9)])
    batch, sizes = on_canvases(images, (21, 30))
    mirrored = np.asarray(mirror(batch, sizes))
    one, other = (
        compute(MultiScale(scales=(1.0, 0.5)), network, x, sizes)
        for x in (batch, mirrored)
    )
    for logits, flipped, (h, w) in zip(one, other, sizes, strict=True):
        np.testing.assert_allclose(logits[:h, :w], flipped[:h, :w][:, ::-1], atol=1e-5)


def test_scaled_sizes_are_rounded_down_as_decimal_numbers():
    sides = np.arange(1, 600)
    for hundredths in (50, 60, 75, 110, 125, 140, 175, 200):
        wanted = np.maximum(sides * hundredths // 100, 1)
        np.testing.assert_array_equal(scaled(sides, hundredths / 100), wanted)
        assert scaled(7, hundredths / 100) == wanted[6]


def test_a_picture_of_one_pixel_gets_finite_logits(network):
    batch, sizes = on_canvases(pictures([(1, 1)]), (1, 1))
    assert np.isfinite(compute(MultiScale(scales=SCALES), network, batch, sizes)).all()


@pytest.mark.slow
def test_jit_equals_eager(network):
    batch, sizes = on_canvases(pictures([(13, 17)]), (16, 20))
    protocol = MultiScale(scales=(0.5, 1.0))
    eager = protocol(network, batch, sizes, fill=(0, 0, 0))
    jitted = jax.jit(lambda *x: protocol(network, *x, fill=(0, 0, 0)))(batch, sizes)
    np.testing.assert_allclose(eager, jitted, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(scales=()), "factors above 0"),
        (dict(scales=(0.0, 1.0)), "factors above 0"),
        (dict(rule="median"), "logits, probabilities, maximum"),
        (dict(inner=Resized(short_side=8)), "put MultiScale inside"),
    ],
)
def test_what_cannot_be_put_together_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MultiScale(**options)
