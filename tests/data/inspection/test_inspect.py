"""A clean folder gives no finding, and the numbers are those of its masks."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.camvid import CamVid
from jaxseg.data.folder import Folder
from jaxseg.data.inspection import inspect
from jaxseg.data.voc import VOC
from tests.data.inspection.conftest import findings


def test_a_clean_folder_gives_no_finding(clean):
    found = inspect(Folder(root=str(clean)), crop=(24, 32))
    assert found.findings == () and found.passed


def test_a_clean_folder_without_a_table_gives_no_finding(clean):
    (clean / "classes.json").unlink()
    assert not findings(clean)


def test_errors_come_first_and_notes_do_not_fail(clean):
    (clean / "train/masks/frame_00.png").unlink()
    found = inspect(Folder(root=str(clean)), crop=(100, 100))
    assert [f.level for f in found.findings] == ["error", "note"]
    assert not found.passed
    assert inspect(Folder(root=str(clean / ".")), crop=(24, 32)).passed is False


def test_frequencies_are_those_of_the_masks(clean):
    train = inspect(Folder(root=str(clean))).splits[0]
    masks = [np.asarray(Image.open(f)) for f in (clean / "train/masks").iterdir()]
    for train_id in (0, 1, 2, 255):
        assert train.pixels[train_id] == sum((m == train_id).sum() for m in masks)
        assert train.pictures[train_id] == sum((m == train_id).any() for m in masks)
    assert train.num_pictures == 5 and train.smallest == train.largest == (24, 32)


def test_an_inspection_is_plain_json(clean):
    (clean / "train/masks/frame_00.png").unlink()
    found = json.loads(json.dumps(inspect(Folder(root=str(clean))).as_json()))
    assert found["passed"] is False
    assert found["classes"][1] == {"train_id": 1, "id": 1, "name": "road"}
    (fault,) = found["findings"]
    assert fault["kind"] == "unpaired_pictures" and fault["files"][0].endswith("00.png")


def test_progress_counts_to_the_number_of_files(clean):
    calls = []
    inspect(Folder(root=str(clean)), progress=lambda *done: calls.append(done))
    assert calls == [(i, 18) for i in range(1, 19)]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        inspect(Folder(root=str(tmp_path / "gone")))


@pytest.mark.parametrize(
    "make, folder, split, shares",
    [
        (CamVid, "camvid", "train", {}),
        (VOC, "voc_mini", "train", {0: 0.70782, 15: 0.04176, 255: 0.04973}),
        (Folder, "voc_mini", "val", {0: 0.69837, 20: 0.01328, 255: 0.05094}),
    ],
)
def test_real_pictures_give_no_false_alarm(data_root, make, folder, split, shares):
    found = inspect(make(root=str(data_root / folder)), crop=(200, 200))
    assert found.findings == ()
    pixels = {s.name: s.pixels for s in found.splits}[split]
    for train_id, share in shares.items():  # as the README of the pictures has them
        assert pixels[train_id] / sum(pixels.values()) == pytest.approx(share, abs=1e-5)
