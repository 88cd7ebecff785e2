"""The benchmark of evaluation, on small networks."""

import numpy as np
import pytest

from benchmarks import evaluate, models
from jaxseg.models import catalogue
from tests.models.test_benchmark import TINY


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(catalogue.NETS, "tiny", TINY)
    monkeypatch.setitem(models.NETS, "tiny", {})
    return "tiny"


def test_without_torch_ours_is_measured_alone(tiny):
    lines = list(evaluate.compare(tiny, evaluate.TINY, repeats=1, with_torch=False))
    first, second = lines
    assert first["what"] == "tiny, sliding windows: ours"
    assert first["images_per_second"] > 0 and first["ratio"] == 1
    assert second["not_measured"] == "torch is not installed"


def test_sides_that_disagree_are_not_compared():
    ids = np.zeros((2, 24, 40), np.uint8)
    evaluate.check_same(ids, ids)
    with pytest.raises(RuntimeError, match="100.0 %"):
        evaluate.check_same(ids, ids + 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["segmenter_s16", "deeplabv3_r50"])
def test_ours_and_torchs_windows_give_the_same_classes(transformers, name):
    sizes = evaluate.TINY._replace(size=(48, 80), window=(32, 32), stride=(20, 20))
    lines = list(evaluate.compare(name, sizes, repeats=1))
    assert [line["what"].split(": ")[1] for line in lines] == ["ours", "torch"]
