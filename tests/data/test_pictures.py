"""Decoding: exact values, either decoder, and errors that name the file."""

import io
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import pictures
from jaxseg.data.labels import LabelSet
from jaxseg.data.source import PictureError, UnknownLabelError
from tests.data.conftest import save

THREE = LabelSet(names=("a", "b", "c"), palette=((0, 0, 0),) * 3)


def noise(*shape, high=256, seed=0):
    dtype = np.uint8 if high <= 256 else np.uint16
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def encode(picture, kind="PNG", **options):
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(params=["opencv", "pillow"])
def decoder(request, monkeypatch):
    if request.param == "pillow":
        monkeypatch.setattr(pictures, "_opencv", lambda: None)


def test_rgb_keeps_its_order(decoder):
    image = noise(5, 7, 3)
    np.testing.assert_array_equal(pictures.read_image(encode(image)), image)


def test_grey_and_transparent_pictures_become_rgb(decoder):
    grey, rgba = noise(5, 7), noise(5, 7, 4)
    np.testing.assert_array_equal(pictures.read_image(encode(grey))[:, :, 2], grey)
    np.testing.assert_array_equal(pictures.read_image(encode(rgba)), rgba[:, :, :3])


def test_sixteen_bit_pictures_keep_the_upper_eight(decoder):
    image = noise(5, 7, high=65536)
    found = pictures.read_image(encode(image))[:, :, 0]
    np.testing.assert_array_equal(found, image >> 8)


def test_rotation_tags_are_ignored(decoder):
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by a quarter turn to show"
    data = encode(noise(6, 10, 3), "JPEG", exif=exif)
    assert pictures.read_image(data).shape == (6, 10, 3)


def test_a_path_and_its_bytes_give_the_same(decoder, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(noise(40, 50, 3), "JPEG", quality=95))
    np.testing.assert_array_equal(
        pictures.read_image(path), pictures.read_image(path.read_bytes())
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_cut_short_is_an_error_that_names_it(decoder, tmp_path, kind, share):
    path = tmp_path / "street.dat"
    thumbnail = encode(noise(8, 8, 3), "JPEG")  # ends as a whole JPEG does
    data = encode(noise(64, 64, 3), kind, exif=b"Exif\0\0" + thumbnail)
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PictureError, match=r"street\.dat"):
        pictures.read_image(path)


def test_a_damaged_png_is_an_error(decoder):
    data = bytearray(encode(noise(64, 64, 3)))
    data[len(data) // 2] ^= 1
    with pytest.raises(PictureError, match="damaged"):
        pictures.read_image(bytes(data))


@pytest.mark.parametrize("data", [b"", b"no picture"])
@pytest.mark.parametrize("read", [pictures.read_image, pictures.read_label])
def test_what_is_no_picture_is_an_error(decoder, read, data):
    with pytest.raises(PictureError, match=r"cannot read x\.png"):
        read(data, name="x.png")


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(PictureError, match=r"gone\.png: No such file"):
        pictures.read_image(tmp_path / "gone.png")


def test_palette_masks_give_indices_not_colours():
    ids = noise(5, 7, high=3)
    picture = Image.fromarray(ids)
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert picture.mode == "P"
    np.testing.assert_array_equal(pictures.read_label(encode(picture)), ids)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palette_masks_of_few_bits_give_indices(bits):
    ids = noise(5, 7, high=2)
    picture = Image.fromarray(ids)
    picture.putpalette([9, 200, 0] * 2**bits)
    data = encode(picture, bits=bits)
    assert data[24] == bits
    np.testing.assert_array_equal(pictures.read_label(data), ids)


def test_sixteen_bit_masks_keep_their_ids():
    ids = noise(5, 7, high=65536)
    np.testing.assert_array_equal(pictures.read_label(encode(ids)), ids)


def test_grey_masks_of_few_bits_give_small_ids():
    one_bit = Image.fromarray(noise(5, 7, high=2).astype(bool))
    np.testing.assert_array_equal(
        pictures.read_label(encode(one_bit)), noise(5, 7, high=2)
    )
    # A 2-bit grey PNG (colour type 0) of the ids 0 1 2 3, written by hand.
    chunks = [
        (b"IHDR", bytes([0, 0, 0, 4, 0, 0, 0, 1, 2, 0, 0, 0, 0])),
        (b"IDAT", zlib.compress(bytes([0, 0b00011011]))),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4, "big")
        + kind
        + body
        + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in chunks
    )
    np.testing.assert_array_equal(pictures.read_label(data), [[0, 1, 2, 3]])


def test_a_coloured_mask_is_refused():
    with pytest.raises(PictureError, match=r"m\.png is a colour picture \(RGB\)"):
        pictures.read_label(encode(noise(5, 7, 3)), name="m.png")


def test_a_jpeg_mask_is_refused():
    with pytest.raises(PictureError, match="use PNG"):
        pictures.read_label(encode(noise(5, 7), "JPEG"))


def read_pair(image, label):
    table = THREE.lookup_table()
    return pictures.read_example(image, label, labels=THREE, table=table)


def test_sizes_that_differ_are_an_error_with_both(tmp_path):
    image = save(tmp_path / "image.png", noise(5, 7, 3))
    label = save(tmp_path / "label.png", noise(5, 6, high=3))
    with pytest.raises(PictureError) as error:
        read_pair(image, label)
    for part in (str(image), str(label), "7x5", "6x5"):
        assert part in str(error.value)


def test_an_unknown_id_is_an_error_with_file_and_id(tmp_path):
    image = save(tmp_path / "image.png", noise(5, 7, 3))
    ids = noise(5, 7, high=3)
    ids[2, 3:5] = 17
    label = save(tmp_path / "label.png", ids)
    with pytest.raises(UnknownLabelError) as error:
        read_pair(image, label)
    for part in (str(label), "17 (2 pixels)", "0..2", "255"):
        assert part in str(error.value)


def test_ids_beyond_sixteen_bits_are_unknown():
    raw = np.array([[-1, 70000]], np.int32)
    with pytest.raises(UnknownLabelError, match="-1 .*70000"):
        pictures.to_train_ids(
            raw, labels=THREE, table=THREE.lookup_table(), name="x.tif"
        )


@pytest.mark.parametrize("size", [(10, 14), (3, 4), (7, 20), (5, 7)])
def test_resized_labels_are_of_the_nearest_pixel_centre(size):
    label = noise(5, 7)
    found = pictures.resize_label(label, size)
    for i, j in np.ndindex(*size):
        nearest = label[int((i + 0.5) * 5 / size[0]), int((j + 0.5) * 7 / size[1])]
        assert found[i, j] == nearest


def test_a_window_of_a_resized_label_is_that_window():
    label, window = noise(50, 70), (slice(10, 60), slice(3, 9))
    whole = pictures.resize_label(label, (80, 31))
    part = pictures.resize_label(label, (80, 31), rows=window[0], columns=window[1])
    np.testing.assert_array_equal(part, whole[window])


def test_resized_pictures_keep_one_colour(decoder):
    image = np.full((6, 8, 3), (10, 200, 30), np.uint8)
    found = pictures.resize_image(image, (9, 5))
    np.testing.assert_array_equal(found, np.full((9, 5, 3), (10, 200, 30)))


def test_enlarging_is_the_same_cubic_in_either_library_to_a_few_levels(monkeypatch):
    ramp = np.linspace(0, 255, 24).astype(np.uint8)
    image = np.broadcast_to(ramp[None, :, None], (20, 24, 3)).copy()
    by_opencv = pictures.resize_image(image, (40, 48)).astype(int)
    monkeypatch.setattr(pictures, "_opencv", lambda: None)
    by_pillow = pictures.resize_image(image, (40, 48)).astype(int)
    assert np.abs(by_opencv - by_pillow).max() <= 4


RACE = """
import sys, threading, time
from jaxseg.data import pictures

def read(delay):
    time.sleep(delay)
    try:
        pictures.read_image(sys.argv[1])
    except BaseException as error:
        errors.append(error)

errors = []
threads = [threading.Thread(target=read, args=(0.004 * i,)) for i in range(100)]
[t.start() for t in threads]
[t.join() for t in threads]
assert not errors, errors
"""


def test_threads_may_read_the_first_pictures_at_once(tmp_path):
    file = save(tmp_path / "a.png", noise(5, 7, 3))
    for _ in range(3):  # OpenCV is imported once a process
        subprocess.run([sys.executable, "-c", RACE, file], check=True, timeout=60)
