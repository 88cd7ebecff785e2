"""Every config trains as `:tiny`, is saved, and is scored from its checkpoint."""

import pathlib

import pytest

from jaxseg import config as config_lib
from jaxseg import evaluate, train

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_tiny_run_is_scored_alike_from_its_checkpoint(path, tmp_path, monkeypatch):
    monkeypatch.delenv("JAXSEG_DATA", raising=False)  # offline, whatever is there
    config = config_lib.load(path, "tiny")
    trained = train.train(config, str(tmp_path))
    scored = evaluate.run(config, str(tmp_path))
    assert trained.keys() == scored.keys()
    for name, scores in trained.items():
        assert scored[name]["mean_iou"] == pytest.approx(scores["mean_iou"], abs=1e-6)
