"""The benchmark of networks, on small ones."""

import numpy as np
import pytest

from benchmarks import models
from jaxseg.models import catalogue

TINY = catalogue.Net(
    dict(
        name="segmentor.Segmentor",
        backbone=dict(name="backbones.tiny.Tiny"),
        head=dict(name="heads.identity.Identity"),
    ),
    weights="nobody",
)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(catalogue.NETS, "tiny", TINY)
    monkeypatch.setitem(models.NETS, "tiny", {})
    return "tiny"


@pytest.mark.slow
def test_without_torch_ours_is_measured_alone(tiny):
    lines = list(models.compare(tiny, 1, (16, 24), repeats=1, with_torch=False))
    assert [line["what"] for line in lines] == [
        "tiny, forward: ours",
        "tiny, step: ours",
    ]
    for line in lines:
        assert line["ratio"] == 1
        assert line["compile_seconds"] > 0 and line["share_of_matmul"] > 0


def test_networks_that_disagree_are_not_compared(tiny):
    problem = models.make(tiny, 1, (16, 16))
    run = problem.model.apply(problem.variables, problem.image, train=False)
    logits = np.asarray(run.logits)
    models.check_same(problem, logits, 1e-3)
    with pytest.raises(RuntimeError, match="disagree by 0.5"):
        models.check_same(problem, 2 * logits, 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", models.NETS)
def test_ours_and_torchs_are_the_same_network(transformers, name):
    size = (32, 48)
    lines = list(models.compare(name, 2, size, repeats=1, with_compiled=False))
    assert [line["what"].removeprefix(name) for line in lines] == [
        ", forward: ours",
        ", step: ours",
        ", forward: torch",
        ", step: torch",
        ": torch compiled",
        ": ours against the faster torch",
    ]
    assert lines[-1]["step"]["times_as_fast"] > 0
