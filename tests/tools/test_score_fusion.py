"""All rules of fusion from one checkpoint, in one pass."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import evaluate, train
from jaxseg.tools import score_fusion
from tests.methods.sazs.settings import make_config
from tests.test_train import make_config as supervised


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = str(tmp_path_factory.mktemp("sazs"))
    return workdir, train.train(make_config(), workdir)


def test_rules_of_the_method_are_scored_as_its_evaluation_scores_them(run, capsys):
    workdir, trained = run
    score_fusion.main(["--workdir", workdir])
    assert "oracle (reads the labels)" in capsys.readouterr().out
    with open(f"{workdir}/{score_fusion.FILE}") as file:
        scores = json.load(file)["scores"]
    assert list(scores) == list(score_fusion.RULES)
    for name in ("fold_mean_iou", "fb_iou", "mean_iou"):
        assert scores["label_free"][name] == pytest.approx(trained["fold"][name])
    plain = make_config(method__fusion=dict(name="sazs.segments.Fusion", rule="none"))
    plain = evaluate.run(plain, workdir)
    assert scores["none"]["fb_iou"] == pytest.approx(plain["fold"]["fb_iou"])


def test_the_oracle_is_at_least_as_near_to_every_truth_as_the_mask():
    rng = np.random.default_rng(0)
    truth, mask = rng.random((2, 3, 8, 8)) < 0.4
    segments = rng.random((3, 8, 8, 4)) < 0.5
    labelled = jnp.ones((3, 8, 8), bool)
    chosen = score_fusion.fuse_oracle(mask, segments, truth, labelled)

    def iou(a):
        return (a & truth).sum(axis=(1, 2)) / (a | truth).sum(axis=(1, 2))

    assert (iou(np.asarray(chosen)) >= iou(mask)).all()


def test_runs_of_other_methods_and_pictures_are_refused(run, tmp_path):
    train.train(supervised(total_steps=2), str(tmp_path))
    with pytest.raises(SystemExit, match="only SAZS has fusion"):
        score_fusion.main(["--workdir", str(tmp_path)])
