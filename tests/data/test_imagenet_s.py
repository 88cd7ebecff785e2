"""ImageNet-S on made pictures: masks, subsets, and classes merged into others."""

import csv

import numpy as np
import pytest

from jaxseg.data import imagenet_s, pipeline
from jaxseg.data.imagenet_s import ImageNetS
from jaxseg.data.source import PictureError, UnknownLabelError
from jaxseg.data.transforms import TrainTransform
from jaxseg.data.zero_shot import HideUnseen
from tests.data import layouts

FIRST = ("n01443537", "n01491361", "n01531178")
IDS = (0, 1, 3, 50, 1000)


@pytest.fixture
def root(tmp_path):
    return layouts.imagenet_s(tmp_path / "ImageNetS50", FIRST, IDS)


def rows(file):
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


@pytest.mark.parametrize("classes", [50, 300, 919])
def test_classes_are_those_of_the_published_tables(data_root, classes):
    table = rows(data_root / f"imagenet_s/categories_{classes}.tsv")
    labels = ImageNetS(root="/nowhere", classes=classes).labels
    assert labels.num_classes == classes + 1 == len(table)
    for i, row in enumerate(table[1:], 1):
        assert (int(row["id"]), row["wnid"]) == (
            i,
            imagenet_s.wordnet_ids(classes)[i - 1],
        )
        assert row["name"].lower() == labels.names[i].lower()


def test_merged_classes_are_the_published_ones(data_root):
    table = rows(data_root / "imagenet_s/merged_categories_919.tsv")
    expected = {row["source_wnid"]: row["target_wnid"] for row in table}
    assert imagenet_s.merged_classes() == expected and len(expected) == 5


def test_masks_are_decoded_and_1000_is_unlabelled(root):
    source = ImageNetS(root=str(root)).source("validation")
    raw = layouts.made_ids(IDS, 2)
    found = source[2]["label"]
    np.testing.assert_array_equal(found, np.where(raw == 1000, 255, raw))
    assert found.dtype == np.uint8
    assert source.name(2).endswith("validation/n01531178/n01531178_2.JPEG")


def test_splits_and_order(root):
    dataset = ImageNetS(root=str(root))
    assert dataset.splits() == ("train", "train_semi", "validation", "test")
    names = [item.name for item in dataset.items("train_semi")]
    assert names == [f"{name}/{name}_{i}" for i, name in enumerate(FIRST)]


@pytest.mark.parametrize("split", ["train", "test"])
def test_pictures_without_masks_know_their_class(root, split):
    example = ImageNetS(root=str(root), image_labels=True).source(split)[1]
    assert (example["label"] == 255).all()
    assert np.flatnonzero(example["image_labels"]).tolist() == [0, 2]


def test_image_labels_of_masks_are_those_of_the_pixels(root):
    example = ImageNetS(root=str(root), image_labels=True).source("validation")[0]
    assert np.flatnonzero(example["image_labels"]).tolist() == [0, 1, 3, 50]


def test_ids_survive_both_ways():
    ids = np.arange(1001)
    found = imagenet_s.decode_mask(imagenet_s.encode_mask(ids))
    np.testing.assert_array_equal(found, ids)
    assert imagenet_s.encode_mask(np.array(919)).tolist() == [151, 3, 0]


def test_a_mask_in_other_colours_is_refused(root):
    file = root / "validation-segmentation/n01443537/n01443537_0.png"
    layouts.save(file, np.full((*layouts.SIZE, 3), 9, np.uint8))
    with pytest.raises(PictureError, match=r"n01443537_0\.png has blue pixels"):
        _ = ImageNetS(root=str(root)).source("validation")[0]


def test_an_id_of_a_larger_subset_is_named(tmp_path):
    root = layouts.imagenet_s(tmp_path, FIRST, (0, 51))
    with pytest.raises(UnknownLabelError, match=r"51 \(96 pixels\)"):
        _ = ImageNetS(root=str(root)).source("validation")[0]


def test_folders_of_another_subset_are_refused(tmp_path):
    root = layouts.imagenet_s(tmp_path, imagenet_s.wordnet_ids(50), IDS, parts=())
    with pytest.raises(ValueError, match="the folders of ImageNet-S-50"):
        ImageNetS(root=str(root), classes=300).source("test")
    with pytest.raises(ValueError, match="not of ImageNet-S-50: it holds n01440764,"):
        layouts.picture(root / "test/n01440764/a.JPEG")
        ImageNetS(root=str(root)).source("test")


def test_the_whole_of_imagenet_trains_919_classes_with_five_merged(tmp_path):
    for name in ("n02808440", "n04493381", "n01440764", "n02110341"):
        layouts.picture(tmp_path / f"train-full/{name}/{name}_7.JPEG")
    found = [i.name for i in ImageNetS(root=str(tmp_path), classes=919).items("train")]
    assert "n02808440/n04493381_7" in found  # a tub in the class of bathtubs
    assert found[0] == "n01440764/n01440764_7" and found == sorted(found)


def test_a_number_of_classes_that_is_no_subset_is_refused():
    with pytest.raises(ValueError, match="50, 300 or 919: 920"):
        ImageNetS(root="/nowhere", classes=920)


def test_ids_above_255_reach_the_batches(tmp_path):
    root = layouts.imagenet_s(tmp_path, ("n01440764",), (0, 255, 256, 300, 1000))
    source = ImageNetS(root=str(root), classes=300).source("validation")
    raw = layouts.made_ids((0, 255, 256, 300, 1000), 0)
    expected = np.where(raw == 1000, 65535, raw)
    np.testing.assert_array_equal(source[0]["label"], expected)
    batches = pipeline.eval_batches(source, batch_size=1, canvas=(20, 20))
    label = next(iter(batches))["label"]
    batches.close()
    assert label.dtype == np.int32
    np.testing.assert_array_equal(label[0, :12, :16], expected)
    assert (label[0, 12:] == 65535).all()


def test_padding_of_a_crop_is_no_class_of_a_large_set(tmp_path):
    root = layouts.imagenet_s(tmp_path, ("n01440764",), (0, 255, 300))
    example = ImageNetS(root=str(root), classes=300).source("validation")[0]
    transform = TrainTransform(crop=(64, 64), scale=(0.5, 0.5))
    found = transform(example, np.random.default_rng(0))["label"]
    assert found.dtype == np.uint16 and (found == 65535).any()
    assert set(np.unique(found)) <= {0, 255, 300, 65535}


def test_large_sets_can_hide_and_leave_out_classes(tmp_path):
    root = layouts.imagenet_s(tmp_path, ("n01440764",), (0, 255, 256, 300, 1000))
    dataset = ImageNetS(root=str(root), classes=300)
    raw = layouts.made_ids((0, 255, 256, 300, 1000), 0)
    hidden = HideUnseen(dataset.source("validation"), (256, 300))[0]["label"]
    np.testing.assert_array_equal(hidden, np.where(raw > 255, 65535, raw))
