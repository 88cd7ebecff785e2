"""The benchmark of the data layer runs and prints what it promises."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_tiny_prints_one_json_object_a_line():
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.data", "--tiny"),
            *("--config", "configs/quickstart.py:tiny"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["what"] for line in lines[:3]] == [
        "decode png",
        "augment png",
        "threads 1, png",
    ]
    for line in lines:
        assert {"what", "sizes"} <= line.keys()
    loaded = [line for line in lines if "images_per_second" in line]
    assert len(loaded) >= 4 and all(line["images_per_second"] > 0 for line in loaded)
    compared = [line for line in lines if "VOC-size JPEG" in line["what"]]
    assert [line["what"].split(",")[0] for line in compared[:2]] == [
        "2 threads",
        "2 processes",
    ]
    assert all(line["mb_after_epoch_3"] > 0 for line in compared[:2])
    assert 0 <= lines[-1]["share_of_loading_hidden"] <= 1
    assert loaded[0]["ratio"] == 1 and 0 < loaded[0]["decode_share"] < 1
