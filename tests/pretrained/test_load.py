import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxseg.pretrained.load import fill, load_weights
from tests.pretrained.conftest import segmentor
from tests.pretrained.test_safetensors import ARRAYS, write


def test_head_and_classifier_stay_as_they_were(fresh, loaded):
    params, batch_stats, report = loaded
    for entry in ("head", "classifier"):
        assert params[entry] == fresh["params"][entry]
    assert batch_stats["head"] == fresh["batch_stats"]["head"]
    assert all(name.split("/")[1] != "backbone" for name in report.kept)


def test_every_array_of_the_backbone_is_filled(fresh, loaded):
    params, batch_stats, report = loaded
    shapes = jax.tree.map(np.shape, (params, batch_stats))
    assert shapes == jax.tree.map(np.shape, (fresh["params"], fresh["batch_stats"]))
    backbone = params["backbone"], batch_stats["backbone"]
    assert len(report.filled) == len(jax.tree.leaves(backbone))


def test_the_classifier_of_imagenet_is_named_as_ignored(loaded):
    report = loaded[2]
    assert report.folded and not report.surplus and not report.reshaped
    assert report.ignored == (
        "MobilenetV2/Conv_1/biases",
        "MobilenetV2/Conv_1/weights",
        "MobilenetV2/Logits/Conv2d_1c_1x1/biases",
        "MobilenetV2/Logits/Conv2d_1c_1x1/weights",
    )
    assert report.ignored[0] in str(report)


def test_variables_in_the_path_are_expanded(fresh, weights_file, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", str(weights_file.parent))
    path = f"$SOMEWHERE/{weights_file.name}"
    _, _, report = load_weights(path, segmentor(), **fresh)
    assert report.path == str(weights_file)


def test_a_missing_file_is_named_with_what_was_asked_for(fresh, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", "/nowhere")
    with pytest.raises(FileNotFoundError, match="no weights file /nowhere/x"):
        load_weights("$SOMEWHERE/x", segmentor(), **fresh)


def test_an_unknown_network_is_refused(fresh, tmp_path):
    path = write(tmp_path / "x.safetensors", ARRAYS)
    with pytest.raises(ValueError, match="no network that fits.* a, b, c"):
        load_weights(path, segmentor(), **fresh)


@pytest.fixture
def misfit():
    """A stem with too few channels, a layer of no network, and nothing else."""
    return {
        "MobilenetV2/Conv/weights": np.zeros((3, 3, 3, 5), np.float32),
        "MobilenetV2/Conv/biases": np.zeros(32, np.float32),
        "MobilenetV2/extra/weights": np.zeros(1, np.float32),
    }


def test_all_that_does_not_fit_is_listed(fresh, misfit):
    with pytest.raises(ValueError) as error:
        fill(misfit, segmentor(), **fresh, source="a file")
    message = str(error.value)
    assert "missing in the file: backbone/" in message
    assert "more" in message and len(message.splitlines()) < 20
    assert "without a place in the model: backbone/extra/conv" in message
    assert "(3, 3, 3, 5) in the file, (3, 3, 3, 32) in the model" in message
    assert "head" not in message.split("\n", 1)[1]


def test_what_is_allowed_may_be_missing_or_misshapen(fresh, misfit):
    del misfit["MobilenetV2/extra/weights"]
    params, _, report = fill(
        misfit, segmentor(), **fresh, source="a file", allow=("backbone",)
    )
    assert report.reshaped == ("params/backbone/Conv/conv/kernel",)
    np.testing.assert_array_equal(params["backbone"]["Conv"]["norm"]["bias"], 0)
    assert params["backbone"]["Conv"]["conv"]["kernel"].shape == (3, 3, 3, 32)


def test_the_report_can_be_written_down(loaded):
    assert json.loads(json.dumps(dataclasses.asdict(loaded[2])))["filled"]
