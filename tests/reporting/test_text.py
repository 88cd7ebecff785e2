import numpy as np
import pytest

from jaxseg.data.labels import LabelSet
from jaxseg.metrics import iou
from jaxseg.reporting import text

LABELS = LabelSet(("sky", "traffic light", "road"), ((1, 2, 3),) * 3)
TIMING = dict(
    seconds_per_step=0.412,
    data_seconds_per_step=0.003,
    images_per_second=19.42,
    eta_seconds=3731,
)


def test_log_line():
    line = text.log_line(
        step=50,
        total_steps=700,
        means={"contrast": 2.0, "loss": 0.51234, "learning_rate": 0.01},
        timing=TIMING,
        memory=8_100_000_000,
        extra={"skipped_pictures": 2, "restarts": 0},
    )
    assert line == (
        "step 50/700  lr 1.0e-02  loss 0.5123  contrast 2  0.412 s/step (data 0.003)  "
        "19.4 img/s  mem 8.1 GB  eta 1:02:11  skipped pictures 2"
    )


def test_unknown_memory_is_left_out():
    line = text.log_line(step=5, total_steps=9, means={}, timing=TIMING, memory=0)
    assert "mem" not in line


@pytest.mark.parametrize(
    "seconds, written",
    [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (90_061, "25:01:01")],
)
def test_duration(seconds, written):
    assert text.duration(seconds) == written


def test_an_unknown_duration_is_a_question_mark():
    assert text.duration(float("inf")) == "?"


def test_class_table():
    confusion = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    table = text.class_table(iou.scores(confusion), LABELS).splitlines()
    assert table[0].split() == ["class", "IoU", "accuracy", "pixels"]
    assert table[2].split() == ["sky", "75.00", "75.00", "50.00"]
    assert table[3].split() == ["traffic", "light", "80.00", "100.00", "50.00"]
    assert table[4].split() == ["road", "-", "-", "0.00"]
    assert table[-1] == "aAcc 87.50  mIoU 77.50  mAcc 87.50"
    assert len({len(line) for line in table[:-1]}) == 1


def test_class_table_of_seen_and_unseen_classes():
    split = LabelSet(LABELS.names, LABELS.palette, seen=(0, 1), unseen=(2,))
    scores = iou.scores(np.diag([1, 1, 1]), seen=split.seen, unseen=split.unseen)
    table = text.class_table(scores, split).splitlines()
    assert [line.split()[-1] for line in (table[0], *table[2:5])] == [
        *("group", "seen", "seen", "unseen")
    ]
    assert table[-2] == "seen IoU 100.00  unseen IoU 100.00  harmonic IoU 100.00"
    assert len({len(line) for line in table[:-2]}) == 1
