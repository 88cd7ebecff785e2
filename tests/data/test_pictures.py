"""Decoding: exact values, either decoder, and errors that name the file."""

import io
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from jaxseg.data import mask_colours, picture_files, pictures
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


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP"])
def test_other_formats_are_read(decoder, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    image = noise(5, 7, 3)
    found = pictures.read_image(encode(image, kind, **options))
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_other_formats_cut_short_are_errors(decoder, kind, share):
    data = encode(noise(64, 64, 3), kind)
    with pytest.raises(PictureError, match=r"cannot read x\.dat"):
        pictures.read_image(data[: int(len(data) * share)], name="x.dat")


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_pictures_become_rgb(decoder, kind):
    ramp = np.linspace(0, 255, 24).astype(np.uint8)
    image = np.stack([np.tile(ramp, (16, 1))] * 3, axis=2)
    image[:, :, 0] = 200
    data = encode(Image.fromarray(image).convert("CMYK"), kind, quality=95)
    assert np.abs(pictures.read_image(data).astype(int) - image).max() < 16


def test_sixteen_bit_tiffs_keep_the_upper_eight(decoder):
    image = noise(5, 7, high=65536)
    found = pictures.read_image(encode(image, "TIFF"))[:, :, 0]
    np.testing.assert_array_equal(found, image >> 8)


def test_pictures_of_real_numbers_are_refused(decoder):
    data = encode(noise(5, 7).astype(np.float32), "TIFF")
    with pytest.raises(PictureError, match="real numbers"):
        pictures.read_image(data)


def rotated(image, tag, kind="JPEG"):
    exif = Image.Exif()
    exif[0x0112] = tag
    return encode(image, kind, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_alone_is_read_as_stored(decoder, kind):
    data = rotated(noise(6, 10, 3), 6, kind)
    assert pictures.read_image(data).shape == (6, 10, 3)


@pytest.mark.parametrize("tag", [5, 6, 7, 8])
def test_a_photo_is_turned_to_the_size_of_its_mask(decoder, tag):
    data = rotated(noise(6, 10, 3), tag, "PNG")
    found = read_pair(data, encode(noise(10, 6, high=3)))["image"]
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(found, np.asarray(upright))


@pytest.mark.parametrize("tag", [3, 6])
def test_a_photo_with_a_mask_of_the_stored_size_stays_as_stored(decoder, tag):
    image = noise(6, 10, 3)
    found = read_pair(rotated(image, tag, "PNG"), encode(noise(6, 10, high=3)))
    np.testing.assert_array_equal(found["image"], image)


def test_a_picture_without_a_tag_is_not_turned(decoder):
    with pytest.raises(PictureError, match="10x6 pixels but its label .* 6x10"):
        read_pair(encode(noise(6, 10, 3)), encode(noise(10, 6, high=3)))


LARGE = """
import sys, warnings
import numpy as np
from jaxseg.data import labels, pictures

warnings.simplefilter("error")
if sys.argv[1] == "pillow":
    pictures._opencv = lambda: None
classes = labels.LabelSet(names=("a", "b"), palette=((0, 0, 0),) * 2)
found = pictures.read_example(
    sys.argv[2], sys.argv[3], labels=classes, table=classes.lookup_table()
)
assert found["image"].shape == (9000, 12000, 3) and found["image"][-1, -1, 0] == 7
assert found["label"].shape == (9000, 12000) and found["label"].max() == 1
# Of this program alone: getrusage has that of the process that started it, too.
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("library", ["opencv", "pillow"])
def test_a_picture_of_108_megapixels_is_read_in_bounded_memory(tmp_path, library):
    files = [tmp_path / "image.png", tmp_path / "label.png"]
    Image.new("RGB", (12_000, 9_000), (7, 8, 9)).save(files[0], compress_level=1)
    Image.new("L", (12_000, 9_000), 1).save(files[1], compress_level=1)
    command = [sys.executable, "-c", LARGE, library, *files]
    done = subprocess.run(command, check=True, capture_output=True, timeout=120)
    # 324 MB of picture, of which a decoder may hold a copy, and 108 MB of mask.
    assert int(done.stdout) < 1_300


def test_a_picture_beyond_the_limit_is_refused_by_its_header(decoder, monkeypatch):
    monkeypatch.setattr(picture_files, "MAX_PIXELS", 34)
    with pytest.raises(PictureError, match=r"x\.png is too large .*7x5.* into tiles"):
        pictures.read_image(encode(noise(5, 7, 3)), name="x.png")


def test_a_picture_that_pillow_takes_for_an_attack_is_refused():
    header = bytearray(encode(noise(5, 7, 3)))
    header[16:24] = (40_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    with pytest.raises(PictureError, match=r"x\.png is too large"):
        pictures.read_image(bytes(header), name="x.png")


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
    with pytest.raises(PictureError) as error:
        pictures.read_label(encode(noise(5, 7, 3)), name="m.png")
    for part in ("m.png is a colour picture (RGB)", 'config.data.masks="rgb"'):
        assert part in str(error.value)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_masks_of_colours_are_read_as_colours(mode):
    image = np.zeros((4, 6, 3), np.uint8)
    image[1:, 2:] = (255, 0, 0)
    data = encode(Image.fromarray(image).convert(mode))
    np.testing.assert_array_equal(pictures.read_colours(data), image)


def test_masks_of_sixteen_bits_have_no_colours():
    with pytest.raises(PictureError, match='config.data.masks="ids"'):
        pictures.read_colours(encode(noise(5, 7, high=65536)))


@pytest.mark.parametrize("read", [pictures.read_label, pictures.read_colours])
def test_masks_as_tiff_are_read(read):
    ids = noise(5, 7, high=3)
    found = read(encode(ids, "TIFF"))
    np.testing.assert_array_equal(found if found.ndim == 2 else found[..., 0], ids)


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
    for part in (str(label), "17 (2 pixels)", "0..2", "255", "ignore_id=(17,)"):
        assert part in str(error.value)


def test_ids_beyond_sixteen_bits_are_unknown():
    raw = np.array([[-1, 70000]], np.int32)
    with pytest.raises(UnknownLabelError, match="-1 .*70000"):
        pictures.to_train_ids(
            raw, labels=THREE, table=THREE.lookup_table(), name="x.tif"
        )


def test_unknown_ids_are_counted_over_the_whole_mask(monkeypatch):
    monkeypatch.setattr(mask_colours, "_BLOCK", 14)  # blocks of two rows
    raw = np.full((5, 7), 9, np.uint8)
    with pytest.raises(UnknownLabelError, match=r"9 \(35 pixels\)"):
        pictures.to_train_ids(
            raw, labels=THREE, table=THREE.lookup_table(), name="x.png"
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
