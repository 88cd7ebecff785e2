import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.reporting import metrics_file
from jaxseg.reporting.metrics_file import MetricsFile


def read(workdir):
    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


@pytest.fixture
def run(tmp_path):
    """Steps 1 to 4 with an evaluation at 2 and at 4."""
    metrics = MetricsFile(tmp_path)
    for step in range(1, 5):
        metrics.write(step, "train", {"loss": 1 / step})
        if step % 2 == 0:
            metrics.write(step, "val", {"mean_iou": step / 10})
    return tmp_path


def test_lines_are_strict_json(tmp_path):
    values = {
        "nan": math.nan,
        "infinite": np.float32(np.inf),
        "number": np.int64(2**40),
        "array": np.array([0.5, np.nan]),
        "device": jnp.float32(0.25),
    }
    MetricsFile(tmp_path / "new").write(3, "val", values)
    assert read(tmp_path / "new") == [
        {
            "step": 3,
            "split": "val",
            "nan": None,
            "infinite": None,
            "number": 2**40,
            "array": [0.5, None],
            "device": 0.25,
        }
    ]


def test_rewinding_removes_later_steps_of_all_splits(run):
    MetricsFile(run).rewind(2)
    assert [(line["step"], line["split"]) for line in read(run)] == [
        (1, "train"),
        (2, "train"),
        (2, "val"),
    ]
    assert [path.name for path in run.iterdir()] == ["metrics.jsonl"]


def test_rewinding_to_the_end_changes_nothing(run):
    before = (run / "metrics.jsonl").read_bytes()
    MetricsFile(run).rewind(4)
    assert (run / "metrics.jsonl").read_bytes() == before


def test_rewinding_removes_a_line_that_broke_off(run):
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "spl')
    MetricsFile(run).rewind(4)
    assert len(read(run)) == 6


def test_a_line_after_one_that_broke_off_is_whole(run):
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "spl')
    MetricsFile(run).write(4, "test", {"loss": 1.0})
    last = (run / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["split"] == "test"


def test_a_process_killed_while_rewinding_leaves_the_old_file(run, monkeypatch):
    before = (run / "metrics.jsonl").read_bytes()

    def die(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", die)
    with pytest.raises(KeyboardInterrupt):
        MetricsFile(run).rewind(1)
    assert (run / "metrics.jsonl").read_bytes() == before


def test_rewinding_without_a_file_is_fine(tmp_path):
    MetricsFile(tmp_path).rewind(0)


def test_lines_are_read_back_but_for_one_that_broke_off(tmp_path):
    assert metrics_file.read(tmp_path) == []
    MetricsFile(tmp_path).write(1, "train", {"loss": 0.5})
    with open(tmp_path / "metrics.jsonl", "a") as broken:
        broken.write('{"step": 2, "spl')
    assert metrics_file.read(tmp_path) == [{"step": 1, "split": "train", "loss": 0.5}]
