import numpy as np
import pytest
from PIL import Image

from jaxseg import predict, train
from jaxseg.config import ConfigError
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
