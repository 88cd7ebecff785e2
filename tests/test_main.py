"""The command line: what a user types, and what a mistake in it answers."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parent.parent
QUICK = ("--config", str(ROOT / "configs/quickstart.py:tiny"))


def start(*arguments, module="jaxseg.main"):
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"XLA_FLAGS": ""},
    )


def finish(process, timeout=240):
    output = process.communicate(timeout=timeout)[0]
    return process.returncode, output


def wait_for(path, process, timeout=120):
    deadline = time.time() + timeout
    while not list(path.parent.glob(path.name)):
        assert process.poll() is None, process.stdout.read()
        assert time.time() < deadline, f"{path} did not appear"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A tiny run from the command line: exit code, output, work folder."""
    workdir = tmp_path_factory.mktemp("quick")
    return *finish(start(*QUICK, "--workdir", workdir)), workdir


def test_the_command_trains_and_ends_with_a_table(quick):
    code, output, workdir = quick
    assert code == 0, output
    assert "mIoU" in output.splitlines()[-1] or "mIoU" in output
    assert (workdir / "checkpoints" / "2").is_dir()


def test_a_run_leaves_its_report_with_pictures_and_confusion(quick):
    _, _, workdir = quick
    record = json.loads((workdir / "evaluations" / "val.json").read_text())
    assert len(record["confusion"]) == len(record["scores"]["class_iou"])
    names = [picture["name"] for kind in ("worst", "best") for picture in record[kind]]
    assert names and len(set(names)) == len(names) and all(names)
    page = (workdir / "report.html").read_text()
    assert "jaxseg.main --config" in page and "data:image/jpeg" in page


def test_a_log_file_gets_no_control_characters(quick):
    assert "\x1b" not in quick[1] and "\r" not in quick[1]


def test_eval_mode_prints_the_same_score(quick):
    _, _, workdir = quick
    code, output = finish(start(*QUICK, "--workdir", workdir, "--mode=eval"))
    assert code == 0, output
    lines = [
        json.loads(x) for x in (workdir / "metrics.jsonl").read_text().split("\n") if x
    ]
    scored = [line for line in lines if line["split"] == "val"]
    assert scored[-1]["mean_iou"] == scored[-2]["mean_iou"]


def test_predict_needs_nothing_but_the_run(quick, tmp_path):
    import numpy as np
    from PIL import Image

    photo = np.random.default_rng(0).integers(0, 256, (37, 61, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    code, output = finish(
        start(
            *("--workdir", quick[2], "--images", tmp_path, "--out", tmp_path / "out"),
            module="jaxseg.predict",
        )
    )
    assert code != 0 and "broken.jpg" in output
    mask = np.asarray(Image.open(tmp_path / "out" / "photo.png"))
    assert mask.shape == (37, 61) and mask.max() < 20


@pytest.mark.parametrize(
    ("flag", "answer"),
    [
        ("--config.optimizer.weight_decy=1", 'Did you mean "weight_decay"'),
        ("--config.optimzer.clip_norm=1", 'Did you mean "optimizer"'),
        ("--config.model.backbone.name=backbones.tny.Tiny", "backbones.tiny"),
        ("--config.method.name=supervised.Supervized", "'Supervised'"),
    ],
)
def test_a_misspelt_key_or_class_is_one_sentence(tmp_path, flag, answer):
    code, output = finish(start(*QUICK, "--workdir", tmp_path / "w", flag))
    assert code != 0 and answer in output
    assert "Traceback" not in output


def test_half_a_launch_is_one_sentence(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "jaxseg.main", *QUICK, "--workdir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_NUM_PROCESSES": "2"},
    )
    assert process.returncode == 1 and "Traceback" not in process.stderr
    assert "JAX_COORDINATOR_ADDRESS, JAX_PROCESS_ID missing" in process.stderr


LONG = (*QUICK, "--config.total_steps=100000", "--config.every.checkpoint=3")
LONG = (*LONG, "--config.every.evaluate=0")


@pytest.mark.slow
def test_a_signal_saves_and_exits_0_and_the_run_resumes(tmp_path):
    process = start(*LONG, "--workdir", tmp_path)
    wait_for(tmp_path / "checkpoints" / "3", process)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == 0 and "the same command resumes" in output
    newest = max(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
    process = start(*LONG, "--workdir", tmp_path)
    wait_for(tmp_path / "checkpoints" / str((newest // 3 + 2) * 3), process)
    process.send_signal(signal.SIGINT)
    code, output = finish(process)
    assert code == 0 and f"step {newest}" in output


@pytest.mark.slow
def test_a_second_signal_exits_at_once(tmp_path):
    process = start(*LONG, "--workdir", tmp_path)
    wait_for(tmp_path / "checkpoints", process)  # made once signals are awaited
    process.send_signal(signal.SIGTERM)  # while it compiles
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    code, _ = finish(process, timeout=10)
    assert code == 128 + signal.SIGTERM


def whole_checkpoints(workdir):
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdigit())


@pytest.mark.slow
def test_a_killed_run_resumes_from_the_last_whole_checkpoint(tmp_path):
    flags = (*LONG, "--config.every.checkpoint=1", "--workdir", tmp_path)
    process = start(*flags)
    while len(whole_checkpoints(tmp_path)) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    wait_for(tmp_path / "checkpoints" / "*tmp*", process)
    process.kill()
    process.wait()
    newest = whole_checkpoints(tmp_path)[-1]
    process = start(*flags)
    while whole_checkpoints(tmp_path)[-1] < newest + 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == 0 and f"checkpoints, step {newest}\n" in output
