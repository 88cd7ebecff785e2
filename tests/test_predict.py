import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from jaxseg import predict, train
from jaxseg.checkpoints import Checkpoints
from jaxseg.config import ConfigError
from jaxseg.protocols.sliding import Sliding
from tests.test_train import make_config


def photo(path, size=(20, 30)):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    train.train(make_config(total_steps=1), str(workdir))
    return str(workdir)


def test_masks_have_the_pictures_size_and_the_runs_classes(run, tmp_path):
    for name, size in (("a.png", (20, 30)), ("b.png", (33, 17))):
        photo(tmp_path / name, size)
    files = predict.list_pictures(str(tmp_path))
    function, labels = predict.load(run)
    assert predict.write_masks(function, labels, files, str(tmp_path / "out")) == 0
    mask = Image.open(tmp_path / "out" / "b.png")
    assert mask.mode == "P" and mask.size == (17, 33)
    assert np.asarray(mask).max() < labels.num_classes
    assert Image.open(tmp_path / "out" / "b_overlay.png").size == (17, 33)


def test_one_picture_is_predicted_the_same_each_time(run, tmp_path):
    pixels = photo(tmp_path / "a.png")
    function, _ = predict.load(run)
    np.testing.assert_array_equal(function(pixels), function(pixels))


def write_config(run, **changes):
    """The run again, with another evaluation in its config.json."""
    path = pathlib.Path(run, "config.json")
    config = json.loads(path.read_text())
    config["evals"] = dict(val=dict(split="val", **changes))
    path.write_text(json.dumps(config))


@pytest.fixture
def copied(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copied")


def test_the_runs_protocol_is_followed(copied):
    window = dict(name="sliding.Sliding", window=[16, 16], stride=[8, 8])
    write_config(copied, protocol=window)
    function, _ = predict.load(str(copied))
    assert function.protocol == Sliding(window=(16, 16), stride=(8, 8))
    exact, _ = predict.load(str(copied), exact=True)
    pixels = np.random.default_rng(0).integers(0, 256, (21, 34, 3), np.uint8)
    np.testing.assert_array_equal(function(pixels), exact(pixels))


def test_mixed_sizes_compile_a_handful_of_times(run):
    function, _ = predict.load(run)
    shapes = []

    def predict_ids(state, batch, protocol):
        shapes.append(batch["image"].shape)
        return batch["image"][..., 0]

    function = dataclasses.replace(function, predict=predict_ids)
    rng = np.random.default_rng(0)
    for _ in range(50):
        size = tuple(rng.integers(200, 513, 2))
        assert function(np.zeros((*size, 3), np.uint8)).shape == size
    assert len(set(shapes)) <= 9


def test_the_evaluations_canvas_is_taken_where_it_holds_the_picture(copied):
    write_config(copied, canvas=[40, 70])
    function, _ = predict.load(str(copied), evaluation="val")
    assert function.buckets == ((40, 70),)
    with pytest.raises(ConfigError, match="did you mean 'val'"):
        predict.load(str(copied), evaluation="vall")


def test_exactly_means_that_nothing_is_padded(run):
    function, _ = predict.load(run, exact=True)
    shapes = []

    def predict_ids(state, batch, protocol):
        shapes.append(batch["image"].shape)
        return batch["image"][..., 0]

    dataclasses.replace(function, predict=predict_ids)(np.zeros((21, 33, 3), np.uint8))
    assert shapes == [(1, 21, 33, 3)]


def test_pictures_whose_masks_would_collide_are_named(tmp_path):
    photo(tmp_path / "a.png")
    photo(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="several files of one name: a"):
        predict.list_pictures(str(tmp_path))


def test_a_folder_without_pictures_or_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no picture"):
        predict.list_pictures(str(tmp_path))
    with pytest.raises(ConfigError, match="no config.json"):
        predict.load(str(tmp_path))
    photo(tmp_path / "a.png")
    with pytest.raises(SystemExit, match="another folder"):
        folder = str(tmp_path)
        predict.main(["--workdir", folder, "--images", folder, "--out", folder])


def test_a_run_is_loaded_back_with_its_projection(tmp_path):
    config = make_config(total_steps=1)
    config["method"] = dict(name="pico.PiCo", embedding_dim=8, contrast_set="batch")
    train.train(config, str(tmp_path))
    method, state = predict.load_state(str(tmp_path))
    assert method.embedding_dim == 8 and int(state.step) == 1
    assert set(state.params) == {"segmentor", "projection"}
    function, _ = predict.load(str(tmp_path))
    predicted = function.state.params["segmentor"]
    jax.tree.map(np.testing.assert_array_equal, state.params["segmentor"], predicted)


def test_a_folder_that_is_no_runs_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        predict.load_state(str(tmp_path))


def test_seen_and_unseen_classes_come_with_the_run(tmp_path):
    config = make_config(total_steps=1, data__unseen=("person", "car"))
    train.train(config, str(tmp_path))
    recorded, method = predict.recorded(str(tmp_path))
    assert method.labels.unseen == (9, 8) and method.labels.seen == tuple(range(8))
    assert recorded["protocol"]["unseen"] == ["person", "car"]
    with Checkpoints(str(tmp_path), read_only=True) as checkpoints:
        assert checkpoints.metadata(1) == recorded["protocol"]
    _, labels = predict.load(str(tmp_path))
    assert labels == method.labels
