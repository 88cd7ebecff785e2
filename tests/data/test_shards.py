"""Copies that are interrupted, changed meanwhile, or made of files that are damaged."""

import json

import numpy as np
import pytest

from jaxseg.data.folder import Folder
from tests.data.conftest import save, write_tree

tfds = pytest.importorskip("jaxseg.data.tfds", reason="needs the [data] extra")
from jaxseg.data import shards  # noqa: E402


class Interrupted(Exception):
    pass


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """A folder of 7 and 5 pictures whose shards hold two or so."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 7000)
    tree = write_tree(tmp_path / "made")
    return Folder(root=str(tree), form="tfds", tfds_dir=str(tmp_path / "copy"))


def stop_at(split, num_pictures):
    def progress(now, done, total):
        if now == split and done >= num_pictures:
            raise Interrupted

    return progress


def finished(dataset):
    """The shards of an interrupted copy and what tells whether they were rewritten."""
    partial = tfds.tfds_dir(dataset) / "folder/2.0.0.partial"
    return {
        file.name.removesuffix(".json"): file.stat().st_mtime_ns
        for file in partial.glob("*.array_record*.json")
    }


def assert_whole(dataset):
    plain = Folder(root=dataset.root)
    for split in ("train", "val"):
        left, right = plain.source(split), dataset.source(split)
        assert len(left) == len(right)
        for i in range(len(left)):
            np.testing.assert_array_equal(left[i]["image"], right[i]["image"])
            np.testing.assert_array_equal(left[i]["label"], right[i]["label"])


def test_an_interrupted_copy_goes_on_with_the_shards_it_has(dataset):
    with pytest.raises(Interrupted):
        tfds.prepare(dataset, progress=stop_at("train", 5))
    before = finished(dataset)
    assert before and not (tfds.tfds_dir(dataset) / "folder/2.0.0").exists()
    with pytest.raises(Interrupted):
        tfds.prepare(dataset, progress=stop_at("val", 3))
    after = finished(dataset)
    assert before.items() < after.items()
    builder = tfds.prepare(dataset)
    assert builder.info.splits["train"].num_shards > 2
    assert finished(dataset) == {}
    assert_whole(dataset)


def test_nothing_is_left_of_a_run_that_was_killed(dataset):
    with pytest.raises(Interrupted):
        tfds.prepare(dataset, progress=stop_at("train", 5))
    partial = tfds.tfds_dir(dataset) / "folder/2.0.0.partial"
    assert list(partial.glob("*.array_record-*.json"))
    (partial / "folder-val.array_record-00000-of-00001.4711").write_bytes(b"half")
    copy = tfds.prepare(dataset).data_path
    rest = {"dataset_info.json", "features.json", "metadata.json", shards.REPORT}
    names = {file.name for file in copy.iterdir()}
    assert rest < names and all("-of-" in name for name in names - rest)
    assert not any(name.endswith((".4711", "-of-00001.json")) for name in names)
    assert not partial.exists()


def test_the_survey_of_a_resumed_copy_is_that_of_all_pictures(dataset):
    with pytest.raises(Interrupted):
        tfds.prepare(dataset, progress=stop_at("val", 2))
    copy = tfds.prepare(dataset).data_path
    report = json.loads((copy / shards.REPORT).read_text())
    source = Folder(root=dataset.root).source("train")
    ids = np.concatenate([source[i]["label"].ravel() for i in range(7)])
    counts = [c["pixels"] for c in report["train"]["classes"]]
    assert counts == [int((ids == i).sum()) for i in (0, 1, 2, 255)]
    assert report["train"]["pictures"] == 7


def test_a_folder_that_changed_meanwhile_is_copied_anew(dataset):
    with pytest.raises(Interrupted):
        tfds.prepare(dataset, progress=stop_at("train", 5))
    image = np.zeros((24, 32, 3), np.uint8)
    save(dataset.path / "train/images/frame_00.png", image)
    tfds.prepare(dataset)
    assert_whole(dataset)


def test_progress_counts_up_to_all_pictures(dataset):
    seen = []
    tfds.prepare(dataset, progress=lambda *now: seen.append(now))
    assert seen[-1] == ("val", 5, 5) and ("train", 7, 7) in seen
    assert seen == sorted(seen)


def test_another_process_that_finished_first_is_believed(dataset, monkeypatch):
    begin = shards.Writer._begin

    def overtaken(writer, fingerprint):
        monkeypatch.setattr(shards.Writer, "_begin", begin)
        tfds.prepare(dataset)
        begin(writer, fingerprint)

    monkeypatch.setattr(shards.Writer, "_begin", overtaken)
    tfds.prepare(dataset)
    assert_whole(dataset)


def test_shards_are_cut_by_size_and_keep_the_order(dataset):
    items = [tfds.Item(*pair) for pair in dataset.pairs("train")]
    size = max(i.image.stat().st_size + i.label.stat().st_size for i in items)
    assert shards.plan(items, 10**9) == [items]
    assert shards.plan(items, 1) == [[item] for item in items]
    cut = shards.plan(items, 2 * size)
    assert sum(cut, []) == items and max(len(shard) for shard in cut) >= 2
    assert shards.plan([], 5) == [[]]


def test_files_that_will_not_do_are_in_the_report(dataset):
    masks = dataset.path / "val/labels"
    save(masks / "frame_01.png", np.full((24, 32), 9, np.uint8))
    image = dataset.path / "val/images/frame_03.png"
    image.write_bytes(image.read_bytes()[:300])
    copy = tfds.prepare(dataset).data_path
    found = json.loads((copy / shards.REPORT).read_text())["val"]
    assert found["pictures"] == 5 and len(found["problems"]) == 2
    assert "frame_01.png holds ids that no class has: 9 (768" in found["problems"][0]
    assert "frame_03.png: the file is cut short" in found["problems"][1]
