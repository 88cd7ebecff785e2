import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxseg.models import create
from jaxseg.pretrained import readers
from jaxseg.pretrained.load import (
    _make_up_for_epsilon,
    check_grid,
    differences,
    fill,
    key_maps,
    load_weights,
)
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


def test_all_that_does_not_fit_is_listed(fresh, weights_file):
    tensors = dict(readers.read(str(weights_file)))
    tensors["MobilenetV2/Conv/weights"] = np.zeros((3, 3, 3, 5), np.float32)
    tensors["MobilenetV2/extra/weights"] = np.zeros(1, np.float32)
    del tensors["MobilenetV2/expanded_conv_16/project/weights"]
    with pytest.raises(ValueError) as error:
        fill(tensors, segmentor(), **fresh, source="a file")
    message = str(error.value)
    assert (
        "missing in the file: backbone/expanded_conv_16/project/conv/kernel" in message
    )
    assert "without a place in the model: backbone/extra/conv" in message
    assert "(3, 3, 3, 5) in the file, (3, 3, 3, 32) in the model" in message
    assert "head" not in message.split("\n", 1)[1]


def test_a_long_list_is_cut(fresh, weights_file):
    tensors = readers.read(str(weights_file))
    kept = {n: v for n, v in tensors.items() if "expanded_conv_16" not in n}
    with pytest.raises(ValueError, match=r"and \d+ more") as error:
        fill(kept, segmentor(), **fresh, source="a file")
    assert len(str(error.value).splitlines()) < 20


def test_a_file_of_another_network_gets_one_sentence(fresh, misfit):
    with pytest.raises(ValueError, match="a file holds another network.*choose the"):
        fill(misfit, segmentor(), **fresh, source="a file")


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


# Which publishers' conventions the catalogue's networks keep.
PROMISES = [
    ("deeplabv2_r101", "Caffe DeepLabV2"),
    ("spnet_r101", "SPNet DeepLabV2"),
    ("deeplabv3_r50", "torchvision DeepLabV3"),
    ("deeplabv3_mobilenet_v3_large", "torchvision DeepLabV3"),
    ("deeplabv3_mobilenet_v2", "MobileNetV2 of TensorFlow, folded"),
    ("pico_mobilenet_v2", "MobileNetV2 of torchvision"),
    ("pico_mobilenet_v1", "MobileNetV1 of TensorFlow, folded"),
    ("pico_deeplabv3_r101", "openseg DeepLabV3"),
    ("ocr_r101", "openseg OCR on ResNet"),
    ("pspnet_r50", "semseg PSPNet"),
    ("upernet_r50", "mmseg PSPNet or UPerNet on ResNet"),
    ("segformer_b0", "SegFormer's authors"),
    ("segmenter_s16", "Segmenter authors"),
    ("dpt_large", "Hugging Face DPT"),
    ("maskformer_r50", "Hugging Face MaskFormer"),
]


@pytest.mark.parametrize(("name", "title"), PROMISES)
def test_networks_of_the_catalogue_keep_their_publishers_conventions(name, title):
    (key_map, *_) = (key_map for key_map in key_maps() if key_map.title == title)
    model = create(name, num_classes=3)
    assert key_map.expects or key_map.usual
    assert not list(differences({**key_map.expects, **key_map.usual}, model))


def test_a_field_that_differs_a_little_is_named():
    (key_map,) = (k for k in key_maps() if k.title == "Hugging Face SegFormer")
    (note,) = differences(key_map.usual, create("segformer_b0", num_classes=3))
    assert "set config.model.backbone.epsilon = 1e-05" in note
    same = create("segformer_b0", num_classes=3, backbone=dict(epsilon=1e-5))
    assert not list(differences(key_map.usual, same))


def test_a_square_table_of_positions_is_not_read_as_another_rectangle():
    given = {("params", "backbone", "position_embedding"): np.zeros((1, 1 + 16, 192))}

    def check(*grid):
        model = create("segmenter_ti16", num_classes=3, backbone=dict(image_grid=grid))
        check_grid(given, model, "a file")

    check(4, 4)
    for grid in ((2, 8), (32, 32)):
        with pytest.raises(ValueError, match=r"image_grid = \(4, 4\)"):
            check(*grid)


def test_folded_normalisations_add_exactly_their_bias_wherever_they_are():
    tensors = {
        "MobilenetV2/Conv/biases": np.float32([1, 2]),
        "aspp0/biases": np.ones(2),
    }
    (key_map, *_) = (
        k for k in key_maps() if k.title == "MobileNetV2 of TensorFlow, folded"
    )
    renamed = key_map.rename(tensors)
    made_up = dict(renamed.arrays)
    model = create("deeplabv3_mobilenet_v2", num_classes=3)
    _make_up_for_epsilon(made_up, key_map, model)
    for norm, epsilon in (("backbone/Conv/norm", 1e-3), ("head/point/norm", 1e-5)):
        variance = made_up[("batch_stats", *norm.split("/"), "var")]
        np.testing.assert_allclose(variance + epsilon, 1, atol=1e-7)
