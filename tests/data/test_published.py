"""What all published data sets share, tried on made ADE20K, VOC and Cityscapes."""

import pickle

import numpy as np
import pytest

from jaxseg.data import inputs, published
from jaxseg.data.ade20k import ADE20K
from jaxseg.data.cityscapes import Cityscapes
from jaxseg.data.coco_stuff import CocoStuff10k
from jaxseg.data.source import PictureError
from jaxseg.data.voc import VOC
from tests.data import layouts


@pytest.fixture
def ade20k(tmp_path):
    return layouts.ade20k(tmp_path / "ade")


def warnings_of(monkeypatch, dataset, split):
    said = []
    monkeypatch.setattr(
        published.logging, "warning", lambda text, *given: said.append(text % given)
    )
    dataset.source(split)
    return said


def test_a_part_of_a_data_set_is_warned_of_with_both_counts(ade20k, monkeypatch):
    said = warnings_of(monkeypatch, ADE20K(root=str(ade20k)), "train")
    assert len(said) == 1 and "2 pictures, the published one 20210" in said[0]


def test_pictures_without_published_masks_are_unlabelled(ade20k, monkeypatch):
    dataset = ADE20K(root=str(ade20k))
    example = dataset.source("test")[0]
    assert example["image"].shape == (*layouts.SIZE, 3)
    assert example["label"].dtype == np.uint8 and (example["label"] == 255).all()
    assert "no masks" in warnings_of(monkeypatch, dataset, "test")[-1]


def test_a_labelled_split_with_a_mask_missing_is_an_error(ade20k):
    (ade20k / "annotations/training/ADE_train_00000002.png").unlink()
    with pytest.raises(ValueError, match="1 of 2 pictures have no label: ADE_train_0"):
        ADE20K(root=str(ade20k)).source("train")


def test_a_test_split_of_which_some_have_masks_is_an_error(tmp_path):
    root = layouts.cityscapes(tmp_path)
    name = "test/bonn/bonn_000009_000019"
    layouts.picture(root / f"leftImg8bit/{name}_leftImg8bit.png")
    with pytest.raises(ValueError, match="1 of 2 pictures have no label"):
        Cityscapes(root=str(root)).source("test")


def test_unseen_classes_are_chosen_by_name_or_by_split(tmp_path):
    root = str(layouts.voc(tmp_path))
    labels = VOC(root=root, unseen="voc12_15_5", background=False).labels
    assert labels.num_classes == 20 and labels.unseen == (15, 16, 17, 18, 19)
    labels = VOC(root=root, unseen=("cat", "cow")).labels
    assert labels.unseen == (8, 10) and 0 in labels.seen
    assert VOC(root=root).labels.unseen == ()


def test_image_labels_are_counted_in_the_mask(ade20k):
    example = ADE20K(root=str(ade20k), image_labels=True).source("val")[0]
    expected = np.isin(np.arange(150), example["label"])
    np.testing.assert_array_equal(example["image_labels"], expected)
    assert example["image_labels"].dtype == bool and expected.any()
    assert "image_labels" not in ADE20K(root=str(ade20k)).source("val")[0]


@pytest.mark.parametrize(
    "variables",
    [
        {"T": np.zeros((2, 2), np.uint8)},
        {"S": np.full((2, 2), -1)},
        {"S": np.full((2, 2), 0.5)},
        {"S": np.zeros((2, 2, 3))},
    ],
)
def test_a_matlab_file_without_a_mask_is_named(tmp_path, variables):
    layouts.matlab(tmp_path / "odd.mat", variables)
    with pytest.raises(PictureError, match=r"odd\.mat"):
        published.read_matlab(tmp_path / "odd.mat", "S")


def test_a_damaged_matlab_file_is_named(tmp_path):
    (tmp_path / "cut.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(PictureError, match=r"cannot read .*cut\.mat"):
        published.read_matlab(tmp_path / "cut.mat", "S")


@pytest.mark.parametrize("split", ["val", "test"])
def test_masks_alone_are_those_of_the_examples(ade20k, split):
    source = ADE20K(root=str(ade20k)).source(split)
    np.testing.assert_array_equal(source.label(0), source[0]["label"])


def test_a_config_chooses_among_the_options(tmp_path):
    layouts.pascal_context(tmp_path, "33_context_labels", 34)
    options = dict(classes=33, unseen="context33_29_4", image_labels=True)
    data = dict(name="pascal_context.PascalContext", root=str(tmp_path), **options)
    dataset = inputs.make_dataset({"data": data | dict(batch_size=2, crop=(8, 8))})
    assert dataset.labels.num_classes == 33 and len(dataset.labels.unseen) == 4
    assert dataset.source("train")[0]["image_labels"].shape == (33,)


def test_sources_can_be_sent_to_other_processes(ade20k):
    source = ADE20K(root=str(ade20k)).source("val")
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again[0]["label"], source[0]["label"])


@pytest.mark.parametrize("make", [layouts.voc, layouts.coco_stuff_10k])
def test_sizes_are_those_of_the_pictures(tmp_path, make):
    kind = {layouts.voc: VOC, layouts.coco_stuff_10k: CocoStuff10k}[make]
    source = kind(root=str(make(tmp_path))).source("train")
    assert source.size(1) == layouts.SIZE == source[1]["label"].shape


def test_a_split_of_classes_reaches_the_training_batches(data_root):
    data = dict(
        name="voc.VOC",
        root=str(data_root / "voc_mini"),
        background=False,
        unseen="voc12_15_5",
        batch_size=8,
        crop=(128, 128),
    )
    config = {"seed": 0, "data": data, "model": {}}
    dataset = inputs.make_dataset(config)
    with inputs.training_batches(config, dataset, start_step=0) as batches:
        ids = {i for _ in range(5) for i in np.unique(next(batches)["label"])}
    assert ids <= {*range(15), 255} and len(ids) > 8


@pytest.mark.parametrize("form", ["folder", "tfds"])
def test_the_last_pictures_of_a_split_can_be_set_aside(tmp_path, form):
    if form == "tfds":
        pytest.importorskip("tensorflow_datasets")
    root = layouts.voc(tmp_path / "voc")
    dataset = VOC(root=str(root), form=form, tfds_dir=str(tmp_path / "copy"))
    whole = dataset.source("train_aug")
    kept, aside = (dataset.source(f"train_aug{p}") for p in ("[:-1]", "[-1:]"))
    assert (len(whole), len(kept), len(aside)) == (4, 3, 1)
    np.testing.assert_array_equal(kept[1]["label"], whole[1]["label"])
    np.testing.assert_array_equal(aside[0]["label"], whole[3]["label"])


@pytest.mark.parametrize(
    "split, message",
    [
        ("train[-500]", r"'train\[:-500\]' or"),
        ("train[a:]", "written as"),
        ("train[5:]", "has no pictures"),
        ("trian[1:]", "no split 'trian'"),
    ],
)
def test_what_is_no_part_of_a_split_is_refused(tmp_path, split, message):
    with pytest.raises(ValueError, match=message):
        VOC(root=str(layouts.voc(tmp_path))).source(split)


def listed(tmp_path, names, split="train_aug", **options):
    root = layouts.voc(tmp_path / "voc")
    layouts.lines(tmp_path / "ids.txt", names)
    return VOC(
        root=str(root), picture_lists={split: str(tmp_path / "ids.txt")}, **options
    )


def test_a_list_of_names_takes_the_place_of_the_folders(tmp_path):
    names = ["2007_000004", "2007_000001"]
    dataset = listed(tmp_path, names)
    assert [item.name for item in dataset.items("train_aug")] == names
    assert [item.name for item in dataset.items("train_aug[1:]")] == names[1:]
    assert len(dataset.source("train")) == 2 and len(dataset.source("val")) == 1


@pytest.mark.parametrize(
    "split, names, message",
    [
        ("train_aug", ["2007_000009"], "1 of 1 pictures listed .* 2007_000009"),
        ("train_ag", ["2007_000001"], "'train_ag', which is no split .*mean 'train_a"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path, split, names, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        listed(tmp_path, names, split).source("train_aug")


def test_a_list_is_a_file_and_not_for_copies(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file none.txt for 'train'"):
        VOC(
            root=str(layouts.voc(tmp_path / "voc")), picture_lists={"train": "none.txt"}
        ).source("train")
    with pytest.raises(ValueError, match='form="folder"'):
        listed(tmp_path, ["2007_000001"], form="tfds")


def test_a_config_names_lists(tmp_path):
    root = layouts.voc(tmp_path / "voc")
    layouts.lines(tmp_path / "ids.txt", ["2007_000001"])
    lists = dict(train=str(tmp_path / "ids.txt"))
    data = dict(name="voc.VOC", root=str(root), picture_lists=lists, batch_size=2)
    dataset = inputs.make_dataset({"data": data})
    assert len(dataset.source("train")) == 1


def test_the_lists_of_a_splits_authors_are_such_files(data_root):
    lists = {"val": str(data_root / "splits/voc12_test_ids.txt")}
    mini = VOC(root=str(data_root / "voc_mini"), picture_lists=lists)
    assert len(mini.chosen_names("val")) == 1449
    with pytest.raises(FileNotFoundError, match="1329 of 1449 pictures listed"):
        mini.source("val")  # which has 120 of them
