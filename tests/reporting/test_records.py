import json

import numpy as np

from jaxseg.data.labels import LabelSet
from jaxseg.metrics import iou
from jaxseg.reporting import records
from tests.reporting.test_scored import LABELS, picture

CONFUSION = np.array([[3, 1], [0, 4]])


def write(workdir, name="val", **given):
    values = dict(
        step=20, split="val", scores=iou.scores(CONFUSION), labels=LABELS, **given
    )
    records.write(workdir, name=name, **values)


def names(workdir):
    return sorted(path.name for path in (workdir / "pictures").iterdir())


def test_a_record_reads_back(tmp_path):
    write(tmp_path, confusion=CONFUSION, worst=[picture(name="b")])
    (record,) = records.read(tmp_path)
    assert record["evaluation"] == "val" and record["step"] == 20
    assert record["confusion"] == CONFUSION.tolist()
    assert record["scores"]["class_iou"] == [0.75, 0.8]
    assert record["worst"][0]["name"] == "b" and record["worst"][0]["score"] == 0.25
    assert set(record["worst"][0]["tiles"].values()) == set(names(tmp_path))


def test_what_is_not_defined_is_null(tmp_path):
    write(tmp_path, worst=[picture(score=float("nan"))])
    text = (tmp_path / "evaluations" / "val.json").read_text()
    assert "NaN" not in text and json.loads(text)["worst"][0]["score"] is None


def test_the_next_evaluation_takes_the_place_of_the_last(tmp_path):
    write(tmp_path, worst=[picture()] * 2, best=[picture()])
    assert len(names(tmp_path)) == 3 * 4
    write(tmp_path, best=[picture()])
    assert names(tmp_path) == [
        f"val_0000020_best_0_{tile}.jpg"
        for tile in ("error", "image", "prediction", "truth")
    ]


def test_evaluations_do_not_touch_each_other(tmp_path):
    write(tmp_path, best=[picture()])
    write(tmp_path, name="test")
    assert [r["evaluation"] for r in records.read(tmp_path)] == ["test", "val"]
    assert len(names(tmp_path)) == 4


def test_a_name_cannot_leave_the_folder(tmp_path):
    write(tmp_path / "run", name="../../val", best=[picture()])
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert records.read(tmp_path / "run")[0]["evaluation"] == "../../val"


def test_only_so_many_pictures_are_kept(tmp_path):
    write(tmp_path, worst=[picture()] * 40)
    (record,) = records.read(tmp_path)
    assert len(record["worst"]) == records.MOST_PICTURES


def test_seen_and_unseen_classes_are_recorded(tmp_path):
    labels = LabelSet(LABELS.names, LABELS.palette, seen=(1,), unseen=(0,))
    records.write(tmp_path, step=1, name="val", split="val", scores={}, labels=labels)
    (record,) = records.read(tmp_path)
    assert record["seen"] == [1] and record["unseen"] == [0]
