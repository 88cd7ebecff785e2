"""Eigensegments of pictures on canvases, and fusion without labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.methods.sazs.segments import Fusion, Segments, refine
from jaxseg.ops.resize import resize_bilinear

CELL = 4  # pixels of a patch


def features_of(image):
    """Colours of patches, as directions."""
    b, height, width, _ = image.shape
    cells = image.reshape(b, height // CELL, CELL, width // CELL, CELL, 3)
    return cells.mean(axis=(2, 4)) / 255 + jnp.array([0.0, 0.0, 0.02])


def picture(height=32, width=48):
    """A red square on blue, noise on both."""
    image = np.zeros((height, width, 3))
    image[..., 2] = 200
    image[8:20, 12:28] = (200, 0, 30)
    noise = np.random.default_rng(0).normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def cut(images, sizes, **fields):
    segments = Segments(**{"number": 2, "solver": "eigh"} | fields)
    return jax.jit(lambda image, size: segments.of_pictures(features_of, image, size))(
        jnp.asarray(images), jnp.asarray(sizes)
    )


def test_the_first_segment_of_a_square_is_the_square():
    found = cut(picture()[None], [[32, 48]], enlargement="nearest")
    wanted = np.zeros((32, 48), bool)
    wanted[8:20, 12:28] = True
    np.testing.assert_array_equal(found[0, ..., 0], wanted)


def test_a_picture_on_a_canvas_is_cut_as_alone():
    alone = cut(picture()[None], [[32, 48]])
    canvas = np.full((1, 48, 64, 3), 127, np.uint8)
    canvas[0, :32, :48] = picture()
    found = cut(canvas, [[32, 48]])
    np.testing.assert_array_equal(found[0, :32, :48], alone[0])
    assert not found[0, 32:].any() and not found[0, :, 48:].any()


def test_a_picture_of_one_colour_has_no_segments():
    found = cut(np.full((1, 32, 32, 3), 90, np.uint8), [[32, 32]], colour_weight=10.0)
    assert not found.any()


def test_a_picture_smaller_than_a_patch_has_no_segments():
    assert not cut(picture()[None], [[1, 2]]).any()


def test_a_smaller_canvas_for_the_guide_finds_the_same_square():
    large = np.asarray(
        jax.image.resize(picture().astype(np.float32), (64, 96, 3), "nearest")
    )[None]
    found = cut(large, [[64, 96]], long_side=48)[0, ..., 0]
    assert found[20:36, 28:52].all() and not found[:10].any()


def test_networks_find_nothing_in_a_picture_of_one_colour():
    def padded(image):
        kernel = jnp.ones((3, 3, 3, 4)) / 27
        pixels = image.astype(jnp.float32)[:, ::4, ::4]
        return jax.lax.conv_general_dilated(
            pixels, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ) * jnp.array([1.0, 1.0, 1.0, 0.0]) + jnp.array([0.0, 0.0, 0.0, 9.0])

    noisy = np.random.default_rng(0).integers(90, 92, (1, 32, 32, 3)).astype(np.uint8)
    size = jnp.array([[32, 32]])
    cut_up = Segments(number=2, solver="eigh").of_pictures
    assert not cut_up(padded, jnp.asarray(noisy), size).any()
    stepped = jnp.asarray(noisy).at[0, :16].set(30)
    assert cut_up(padded, stepped, size).any()


def batch_of(image, class_id):
    return {
        "image": jnp.asarray(image[None]),
        "size": jnp.array([image.shape[:2]]),
        "class_id": jnp.array([class_id]),
    }


def refined(ids, batch, **fields):
    return refine(
        Fusion(**fields),
        Segments(number=2, solver="eigh", enlargement="nearest"),
        features_of,
        batch,
        jnp.asarray(ids[None]),
        num_classes=6,
        background=0,
    )[0]


def test_a_rough_mask_becomes_the_segment_it_overlaps():
    ids = np.zeros((32, 48), np.int32)
    ids[9:20, 12:26] = 5
    ours = refined(ids, batch_of(picture(), 5))
    wanted = np.zeros((32, 48), int)
    wanted[8:20, 12:28] = 5
    np.testing.assert_array_equal(ours, wanted)
    np.testing.assert_array_equal(
        refined(ids, batch_of(picture(), 5), rule="none"), ids
    )


def test_what_lies_around_a_picture_has_no_say():
    """Protocols repeat the last row and column over the canvas."""
    image = np.zeros((32, 48, 3), np.uint8)
    image[..., 2] = 200
    image[16:, 24:] = (200, 0, 30)
    canvas = np.full((64, 96, 3), 127, np.uint8)
    canvas[:32, :48] = image
    ids = np.zeros((64, 96), np.int32)
    ids[17:, 23:] = 5
    batch = batch_of(canvas, 5) | {"size": jnp.array([[32, 48]])}
    wanted = np.zeros((32, 48), int)
    wanted[16:, 24:] = 5
    np.testing.assert_array_equal(refined(ids, batch)[:32, :48], wanted)
    del batch["class_id"]
    np.testing.assert_array_equal(refined(ids, batch)[:32, :48], wanted)


def test_unsmoothed_logits_stay_where_they_are():
    image, size = jnp.asarray(picture(40, 40)[None]), jnp.array([[40, 40]])
    ramp = jnp.broadcast_to(jnp.arange(40.0)[:, None, None], (1, 40, 40, 1))
    segments = Segments(solver="eigh", long_side=36)
    same = segments.smoothed(features_of, image, size, ramp, count=2, share=0.0)
    np.testing.assert_allclose(same[0, 4:36], ramp[0, 4:36], atol=0.1)


def test_a_mask_that_no_segment_fits_stays():
    ids = np.zeros((32, 48), np.int32)
    ids[24:, 30:] = 5
    np.testing.assert_array_equal(refined(ids, batch_of(picture(), 5)), ids)


def test_labels_in_the_batch_change_nothing():
    ids = np.zeros((32, 48), np.int32)
    ids[9:20, 12:26] = 5
    batch = batch_of(picture(), 5)
    labelled = batch | {"label": jnp.ones((1, 32, 48), jnp.int32) * 5}
    np.testing.assert_array_equal(refined(ids, batch), refined(ids, labelled))


def test_without_a_class_told_every_class_is_refined():
    ids = np.zeros((32, 48), np.int32)
    ids[9:20, 12:26] = 3
    batch = batch_of(picture(), 5)
    del batch["class_id"]
    ours = refined(ids, batch)
    assert set(np.unique(ours)) == {0, 3} and (ours[8:20, 12:28] == 3).all()


def test_smooth_logits_keep_what_follows_the_segments():
    image, size = picture()[None], jnp.array([[32, 48]])
    coarse = np.zeros((1, 8, 12, 2), np.float32)
    coarse[0, 2:5, 3:7, 1] = 1.0
    rough = coarse + np.random.default_rng(1).normal(0, 0.8, coarse.shape)
    logits = resize_bilinear(rough.astype(np.float32), (32, 48), align_corners=False)
    smooth = Segments(solver="eigh").smoothed(
        features_of, jnp.asarray(image), size, logits, count=3, share=1.0
    )
    inside, outside = smooth[0, 10:18, 15:25, 1], smooth[0, 24:, :, 1]
    assert inside.mean() > 0.5 and abs(outside.mean()) < 0.4
    assert inside.std() < 0.25


@pytest.mark.parametrize(
    "wrong", [dict(number=0), dict(long_side=-1), dict(colour_weight=-1.0)]
)
def test_settings_without_a_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match="segments need"):
        Segments(**wrong)
    with pytest.raises(ValueError, match="got 'oracle'"):
        Fusion(rule="oracle")
