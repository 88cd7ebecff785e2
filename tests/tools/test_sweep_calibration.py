"""The sweep against the evaluator, on a run of two steps and two unseen classes."""

import json

import numpy as np
import pytest

from jaxseg import evaluate, train, workfolder
from jaxseg.config import ConfigError
from jaxseg.data import inputs
from jaxseg.tools import sweep_calibration
from tests.methods.test_spnet import spnet_config
from tests.test_train import make_config

# As published pictures are scored: probabilities go to another size and back.
PROTOCOL = dict(name="resized.Resized", size=(24, 40))


def short_config(**changes):
    return spnet_config(total_steps=2, evals__val__protocol=PROTOCOL, **changes)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    train.train(short_config(), str(folder))
    return folder


def test_a_row_is_what_the_evaluator_says_with_that_gamma(workdir):
    gammas = (0.0, 0.05, 1.0)
    result = sweep_calibration.sweep(str(workdir), gammas=gammas, classes="unseen")
    rows = result["scores"]
    wanted = evaluate.run(short_config(method__gamma=0.05), str(workdir))["val"]
    for name in sweep_calibration.SCORES:
        np.testing.assert_allclose(rows[1][name], wanted[name], atol=1e-6)
    assert [row["gamma"] for row in rows] == list(gammas)
    assert rows[0]["unseen_iou"] != rows[2]["unseen_iou"]


def test_the_command_prints_a_table_and_writes_the_best(workdir, capsys):
    options = ["--gammas", "0,0.5,1", "--classes", "unseen", "--split", "train"]
    sweep_calibration.main(["--workdir", str(workdir), *options])
    written = json.loads((workdir / "calibration.json").read_text())
    best = max(written["scores"], key=lambda row: row["harmonic_iou"])
    assert written["gamma"] == best["gamma"] and written["step"] == 2
    assert written["chosen_on"] == "unseen" and written["unseen"] == ["car", "tree"]
    printed = capsys.readouterr().out
    assert printed.count("\n| 0") == 2
    assert "classes of 'train' themselves: not a zero-shot result" in printed


def test_the_classes_of_the_test_must_be_asked_for(workdir):
    with pytest.raises(ConfigError, match="--classes unseen"):
        sweep_calibration.sweep(str(workdir))
    for unseen, honest in (("voc12_15_5", False), ("voc12_15_5:validation", True)):
        config = {"data": {"unseen": unseen}}
        if honest:
            sweep_calibration.check_classes(config, "validation")
            continue
        with pytest.raises(ConfigError, match="NAME:validation"):
            sweep_calibration.check_classes(config, "validation")


def test_places_other_than_pixels_are_not_swept(tmp_path):
    protocol = {**PROTOCOL, "compare_at": "resized"}
    config = spnet_config(total_steps=1, evals__val__protocol=protocol)
    scores = train.train(config, str(tmp_path))["val"]
    assert 0 <= scores["mean_iou"] <= 1
    with pytest.raises(ConfigError, match="compare_at='picture'"):
        sweep_calibration.sweep(str(tmp_path), classes="unseen")


def test_runs_of_other_methods_have_no_gamma(tmp_path):
    config = make_config()
    workfolder.claim(config, str(tmp_path), inputs.make_dataset(config).labels)
    with pytest.raises(ConfigError, match="Supervised"):
        sweep_calibration.sweep(str(tmp_path))


@pytest.mark.parametrize("wrong", ["0,x", "0,1.5", ""])
def test_gammas_are_probabilities(wrong, capsys):
    with pytest.raises(SystemExit):
        sweep_calibration.main(["--workdir", "w", "--gammas", wrong])
    assert "gammas" in capsys.readouterr().err
