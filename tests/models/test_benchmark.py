"""The benchmark of networks, on small ones."""

import numpy as np
import pytest

from benchmarks import models

TINY = dict(
    backbone=dict(name="backbones.tiny.Tiny"), head=dict(name="heads.identity.Identity")
)


def test_without_torch_ours_is_measured_alone(monkeypatch):
    monkeypatch.setitem(models.SPECS, "tiny", TINY)
    lines = list(models.compare("tiny", 1, (16, 24), repeats=1, with_torch=False))
    assert [line["what"] for line in lines] == [
        "tiny, forward: ours",
        "tiny, step: ours",
    ]
    for line in lines:
        assert line["ratio"] == 1
        assert line["compile_seconds"] > 0 and line["share_of_matmul"] > 0


def test_networks_that_disagree_are_not_compared(monkeypatch):
    import jax

    model = models.models.build(
        models.COMMON | TINY | {"dtype": "float32"}, num_classes=19
    )
    image = np.ones((1, 16, 16, 3), np.float32)
    variables = model.init(jax.random.key(0), image, train=False)
    logits = np.asarray(model.apply(variables, image, train=False).logits)
    models.check_same(model, variables, image, logits, 1e-3)
    with pytest.raises(RuntimeError, match="disagree by 0.5"):
        models.check_same(model, variables, image, 2 * logits, 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", models.SPECS)
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
