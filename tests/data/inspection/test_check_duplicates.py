"""Pictures in two splits: each case is planted and named."""

import numpy as np
from PIL import Image

from jaxseg.data.imagenet_s import ImageNetS
from jaxseg.data.inspection import inspect
from jaxseg.data.voc import VOC
from tests.data import layouts
from tests.data.conftest import save
from tests.data.inspection.conftest import findings, only


def smooth(seed):
    """A picture of 96 x 128 that looks like something."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((128, 96), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def plant(root, split, name, image):
    save(root / split / "masks" / f"{name}.png", np.ones(image.shape[:2], np.uint8))
    return save(root / split / "images" / f"{name}.png", image)


def test_a_picture_in_two_splits_is_named(clean):
    files = [
        plant(clean, split, name, smooth(1))
        for split, name in (("train", "some"), ("val", "other"))
    ]
    found = only(clean, "duplicates")
    assert found.level == "warning" and found.count == 1
    assert found.files == tuple(files)


def test_pixels_count_and_not_the_bytes_of_files(clean):
    plant(clean, "train", "some", smooth(1))
    file = plant(clean, "val", "other", smooth(1))
    Image.open(file).save(file, compress_level=0)
    only(clean, "duplicates")


def test_a_picture_saved_anew_is_named(clean):
    file = plant(clean, "train", "some", smooth(1))
    Image.open(file).save(file.with_suffix(".jpg"), quality=60)
    file.unlink()
    plant(clean, "val", "other", smooth(1))
    plant(clean, "val", "different", smooth(2))
    found = only(clean, "near_duplicates")
    assert found.count == 1
    assert [file.name for file in found.files] == ["some.jpg", "other.png"]


def test_pictures_of_one_colour_are_not_taken_for_each_other(clean):
    for split, level in (("train", 80), ("val", 81)):
        plant(clean, split, "flat", np.full((24, 32, 3), level, np.uint8))
    assert not findings(clean)


def test_a_union_of_splits_is_no_fault(tmp_path):
    for i in range(4):
        ids = np.random.default_rng(i).integers(0, 21, (96, 128)).astype(np.uint8)
        save(tmp_path / f"JPEGImages/{i}.jpg", smooth(i))
        save(tmp_path / f"SegmentationClass/{i}.png", ids)
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for name, ids in (("train", "0\n1"), ("val", "2\n3"), ("trainval", "0\n1\n2\n3")):
        (lists / f"{name}.txt").write_text(ids)
    assert inspect(VOC(root=str(tmp_path))).findings == ()
    (lists / "val.txt").write_text("1\n2\n3")
    kinds = [finding.kind for finding in inspect(VOC(root=str(tmp_path))).findings]
    assert kinds == ["duplicates"]


def test_masks_of_some_training_pictures_are_no_fault(tmp_path):
    root = layouts.imagenet_s(tmp_path, ("n01443537",), (0, 1))
    found = inspect(ImageNetS(root=str(root))).findings
    texts = [finding.text for finding in found if finding.kind == "duplicates"]
    assert len(texts) == 5  # the same picture is in all four splits
    assert not any("'train' and in 'train_semi'" in text for text in texts)
