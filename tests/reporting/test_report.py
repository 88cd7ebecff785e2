import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import reporting
from jaxseg.data.labels import LabelSet
from jaxseg.metrics import iou
from jaxseg.reporting import records
from jaxseg.reporting import report as report_module
from tests.reporting.test_scored import picture

LABELS = LabelSet(("sky", "road"), ((1, 2, 3), (4, 5, 6)))
PARAMS = {"segmentor": {"kernel": jnp.ones((2, 3))}}
SCORES = iou.scores(np.array([[3, 1], [0, 4]]))
SLOW_DATA = dict(
    seconds_per_step=1.0,
    data_seconds_per_step=0.3,
    images_per_second=8.0,
    eta_seconds=1.0,
)


@pytest.fixture(autouse=True)
def logged(monkeypatch):
    """The lines of the log."""
    lines = []
    for level in ("info", "warning"):
        monkeypatch.setattr(
            f"absl.logging.{level}", lambda text, *args: lines.append(text % args)
        )
    return lines


def steps(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [(json.loads(line)["step"], json.loads(line)["split"]) for line in lines]


def test_a_resumed_run_reads_as_one(tmp_path):
    for start, stop in ((0, 3), (2, 4)):  # the first is killed after saving step 2
        with reporting.Report(tmp_path, is_main=True, total_steps=4) as report:
            report.start(start, PARAMS)
            for step in range(start + 1, stop + 1):
                report.step(step)
                report.training(step, {"loss": 1.0}, SLOW_DATA)
    assert steps(tmp_path) == [(step, "train") for step in range(1, 5)]


def test_parameters_are_a_file_and_their_number_a_line(tmp_path, logged):
    with reporting.Report(tmp_path, is_main=True, total_steps=4) as report:
        report.start(0, PARAMS)
    assert "Total: 6" in (tmp_path / "parameters.txt").read_text()
    assert logged[-1].startswith("parameters: Total: 6")


def test_an_evaluation_alone_removes_nothing(tmp_path):
    for step in (4, 2):
        with reporting.Report(tmp_path, is_main=True) as report:
            report.scores(step, "val", SCORES, LABELS, split="val")
    assert steps(tmp_path) == [(4, "val"), (2, "val")]


def test_an_evaluation_is_logged_as_a_table_and_kept_whole(tmp_path, logged):
    with reporting.Report(tmp_path, is_main=True) as report:
        report.scores(4, "val", SCORES, LABELS, split="val", metrics=("mean_iou",))
    assert logged[-1].splitlines()[-1] == "aAcc 87.50  mIoU 77.50  mAcc 87.50"
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert line["class_iou"] == [0.75, 0.8] and line["mean_iou"] == 0.775


def test_an_evaluation_writes_its_record_and_the_page(tmp_path):
    confusion = np.array([[3, 1], [0, 4]])
    with reporting.Report(tmp_path, is_main=True) as report:
        for name in ("val", "test"):
            report.scores(
                *(4, name, SCORES, LABELS),
                split=name,
                confusion=confusion,
                worst=[picture(name="bad")],
                best=[picture(name="good")],
            )
    assert [r["evaluation"] for r in records.read(tmp_path)] == ["test", "val"]
    text = (tmp_path / "report.html").read_text()
    assert text.count("77.50") >= 2 and "bad" in text and "good" in text


def test_a_metric_that_is_not_there_is_named(tmp_path):
    with (
        reporting.Report(tmp_path, is_main=True) as report,
        pytest.raises(ValueError, match="asks for miou; there are .*mean_iou"),
    ):
        report.scores(4, "val", SCORES, LABELS, split="val", metrics=("miou",))


def test_waiting_for_data_is_told_once_with_what_to_do(tmp_path, logged):
    with reporting.Report(tmp_path, is_main=True, total_steps=9) as report:
        report.training(1, {"loss": 1.0}, SLOW_DATA | {"data_seconds_per_step": 0.1})
        assert not any("data is the limit" in line for line in logged)
        report.training(2, {"loss": 1.0}, SLOW_DATA)
        report.training(3, {"loss": 1.0}, SLOW_DATA)
    (warning,) = (line for line in logged if "data is the limit" in line)
    assert "30 %" in warning and "config.data.num_threads" in warning


def test_pictures_are_files_too(tmp_path):
    with reporting.Report(tmp_path, is_main=True) as report:
        report.pictures(20, "val", [np.zeros((4, 5, 3), np.uint8)] * 2)
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["val_0000020_0.png", "val_0000020_1.png"]


def test_other_processes_write_and_log_nothing(tmp_path, logged):
    with reporting.Report(tmp_path, is_main=False, total_steps=9) as report:
        report.start(0, PARAMS)
        report.step(1)
        report.training(1, {"loss": 1.0}, SLOW_DATA)
        report.scores(1, "val", SCORES, LABELS, split="val", worst=[picture()])
        report.pictures(1, "val", [np.zeros((4, 5, 3), np.uint8)])
    assert not list(tmp_path.iterdir()) and not logged


def test_peak_memory_is_that_of_this_process_on_a_cpu():
    assert 50e6 < report_module.peak_memory() < 500e9
