import json

import jax
import numpy as np
import pytest

from jaxseg.pretrained.load import load_weights
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
    ignored = loaded[2].ignored
    assert ignored == (
        "MobilenetV2/Conv_1/biases",
        "MobilenetV2/Conv_1/weights",
        "MobilenetV2/Logits/Conv2d_1c_1x1/biases",
        "MobilenetV2/Logits/Conv2d_1c_1x1/weights",
    )
    assert ignored[0] in str(loaded[2])


def test_variables_in_the_path_are_expanded(fresh, weights_file, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", str(weights_file.parent))
    path = f"$SOMEWHERE/{weights_file.name}"
    _, _, report = load_weights(path, fresh["params"], fresh["batch_stats"])
    assert report.path == str(weights_file)


def test_a_missing_file_is_named_with_what_was_asked_for(fresh, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", "/nowhere")
    with pytest.raises(FileNotFoundError, match="no weights file /nowhere/x"):
        load_weights("$SOMEWHERE/x", fresh["params"], fresh["batch_stats"])


def test_an_unknown_network_is_refused(fresh, tmp_path):
    path = write(tmp_path / "x.safetensors", ARRAYS)
    with pytest.raises(ValueError, match="no network known here.* a, b, c"):
        load_weights(path, fresh["params"], fresh["batch_stats"])


def test_all_that_does_not_fit_is_listed(fresh, tmp_path):
    arrays = {
        "MobilenetV2/Conv/weights": ("F32", np.zeros((3, 3, 3, 5), np.float32)),
        "MobilenetV2/Conv/biases": ("F32", np.zeros(32, np.float32)),
        "MobilenetV2/extra/weights": ("F32", np.zeros(1, np.float32)),
    }
    path = write(tmp_path / "x.safetensors", arrays)
    with pytest.raises(ValueError) as error:
        load_weights(path, fresh["params"], fresh["batch_stats"])
    message = str(error.value)
    assert "missing in the file: params/backbone/expanded_conv/project" in message
    assert "not in the backbone: params/backbone/extra/conv/kernel" in message
    assert "(3, 3, 3, 5) in the file, (3, 3, 3, 32) in the backbone" in message
    assert "head" not in message.split("\n", 1)[1]


def test_the_report_can_be_written_down(loaded):
    import dataclasses

    assert json.loads(json.dumps(dataclasses.asdict(loaded[2])))["filled"]
