import json

import pytest

from jaxseg.config import ConfigError
from jaxseg.tools import compare_runs


def write_run(folder, *scores):
    folder.mkdir()
    lines = [{"step": 1, "split": "train", "loss": 1.0}]
    for step, score in enumerate(scores, start=1):
        line = dict(step=step, split="val", mean_iou=score, pixel_accuracy=0.9)
        lines.append(line | dict(mean_accuracy=0.5, class_iou=[score, None]))
    text = "\n".join(json.dumps(line) for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    config = {"id2label": {"0": "road", "1": "car"}}
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def test_tables_hold_mean_spread_and_curve(tmp_path, capsys):
    runs = [write_run(tmp_path / "a", 0.1, 0.3), write_run(tmp_path / "b", 0.2, 0.5)]
    compare_runs.main(runs)
    printed = capsys.readouterr().out.splitlines()
    assert "| **mean_iou** | 0.4000 | 0.1000 | 0.3000 | 0.5000 |" in printed
    assert "| road | 0.4000 | 0.1000 | 0.3000 | 0.5000 |" in printed
    assert "| car | nan | nan | nan | nan |" in printed
    assert "| 1 | 0.1000 | 0.2000 |" in printed


def test_a_repeated_evaluation_counts_once_and_the_last_wins(tmp_path):
    run = write_run(tmp_path / "a", 0.1)
    with open(tmp_path / "a" / "metrics.jsonl", "a") as file:
        file.write("\n" + json.dumps({"step": 1, "split": "val", "mean_iou": 0.7}))
    assert [line["mean_iou"] for line in compare_runs.read_lines(run, "val")] == [0.7]


def test_a_missing_evaluation_names_those_there_are(tmp_path):
    run = write_run(tmp_path / "a", 0.1)
    with pytest.raises(ConfigError, match=r"no evaluation 'test'.*\['train', 'val'\]"):
        compare_runs.read_lines(run, "test")
    with pytest.raises(ConfigError, match="not a run's work folder"):
        compare_runs.read_lines(str(tmp_path / "nowhere"), "val")
