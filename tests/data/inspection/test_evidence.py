"""Which files are read, and what their pixels mean."""

from jaxseg.data.folder import Folder
from jaxseg.data.inspection import facts, gather
from tests.data.conftest import save
from tests.data.inspection.conftest import noise


def test_every_file_is_read_once(clean, monkeypatch):
    read = []
    of_image = facts.of_image
    monkeypatch.setattr(facts, "of_image", lambda f: (read.append(f), of_image(f))[1])
    (clean / "all.txt").write_text("train/images/frame_00.png train/masks/frame_00.png")
    evidence = gather(Folder(root=str(clean)))
    assert len(read) == len(set(read)) == len(evidence.images) == 9
    assert [split.name for split in evidence.splits] == ["all", "train", "val"]


def test_files_without_a_counterpart_are_kept_apart(clean):
    lone = save(clean / "train/images/lone.png", noise())
    (clean / "val/images/frame_00.png").unlink()
    train, val = gather(Folder(root=str(clean))).splits
    assert train.images == (lone,) and len(train.pairs) == 5
    assert val.masks == (clean / "val/masks/frame_00.png",) and len(val.pairs) == 3


def test_a_list_chooses_what_is_looked_at(clean):
    (clean / "train/list.txt").write_text("frame_01\n")
    (train, _) = gather(Folder(root=str(clean))).splits
    assert [pair.name for pair in train.pairs] == ["frame_01"]
    assert train.images == train.masks == ()


def test_pixels_are_counted_by_train_id(clean):
    evidence = gather(Folder(root=str(clean), ignore_id=1))
    mask = facts.MaskFacts(file=clean, counts={0: 5, 1: 6, 2: 7, 255: 8, 99: 9, -3: 1})
    assert evidence.train_ids(mask) == {0: 5, 255: 14, 1: 7, -1: 10}


def test_classes_that_cannot_be_told_are_a_problem(clean):
    (clean / "classes.json").write_text("{")
    evidence = gather(Folder(root=str(clean)))
    assert evidence.labels is None and "classes.json" in evidence.problem
    assert not evidence.train_ids(next(iter(evidence.masks.values())))


def test_one_thread_reads_what_many_read(clean):
    one, many = (gather(Folder(root=str(clean)), num_threads=n) for n in (1, 4))
    assert one.masks == many.masks and list(one.images) == list(many.images)
