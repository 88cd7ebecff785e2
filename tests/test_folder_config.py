"""`configs/folder.py`: a user's folder, with nothing changed but its root."""

import pathlib

import numpy as np
import pytest
from ml_collections import config_flags
from PIL import Image

from jaxseg import config as config_lib
from jaxseg import predict, train
from jaxseg.data import inputs
from tests.data.conftest import save, write_pairs, write_table

FILE = pathlib.Path(__file__).parents[1] / "configs" / "folder.py"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder without a table, of the ids 0, 4 and 7."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    for split, count in (("train", 6), ("val", 3)):
        folders = (tmp_path / "mine" / split / part for part in ("images", "masks"))
        write_pairs(*folders, count, raw_ids=(0, 4, 7, 255))
    return tmp_path / "mine"


def read_config(variant="", **changes):
    """The config as the command line reads it, with keys set to what is typed."""
    from absl import flags

    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, flag_values=values)
    name = f"{FILE}:{variant}" if variant else str(FILE)
    values(["main", f"--config={name}"])
    config = values.config
    for key, value in changes.items():
        config.update_from_flattened_dict({key.replace("__", "."): value})
    return config.to_dict()


def test_the_classes_come_from_the_folder(root):
    config = read_config(data__root=str(root))
    config_lib.check(config)
    labels = inputs.make_dataset(config).labels
    assert labels.class_raw_ids == (0, 4, 7)


@pytest.mark.parametrize(
    "key, value, ids",
    [
        ("ignore_id", (0,), (4, 7)),
        ("class_ids", (7, 4, 0), (7, 4, 0)),
    ],
)
def test_the_choices_of_a_folder_are_keys_of_the_config(root, key, value, ids):
    config = read_config(**{"data__root": str(root), f"data__{key}": value})
    assert inputs.make_dataset(config).labels.class_raw_ids == ids


def test_without_a_root_the_message_says_what_to_give():
    with pytest.raises(config_lib.ConfigError, match="config.data.root is the folder"):
        inputs.make_dataset(read_config())


def test_a_folder_is_trained_on_scored_and_predicted(root, tmp_path):
    config = read_config(
        data__root=str(root),
        data__crop=(16, 16),
        data__batch_size=2,
        total_steps=2,
        num_devices=1,
    )
    config["model"]["backbone"] = dict(
        name="backbones.tiny.Tiny", widths=(8, 16), depths=(0, 1)
    )
    config["model"]["head"] = dict(name="heads.fcn.FCN", features=16)
    workdir = str(tmp_path / "run")
    scores = train.train(config, workdir)
    assert np.shape(scores["val"]["class_iou"]) == (3,)
    run, labels = predict.load(workdir)
    assert labels.names == ("class_0", "class_4", "class_7")
    photo = np.asarray(Image.open(root / "val/images/frame_00.png"))
    assert run(photo).shape == (24, 32) and run(photo).max() < 3


def test_an_unknown_id_stops_training_with_its_file(root, tmp_path):
    write_table(root, ids=(0, 4, 5), ignore_id=255)
    save(root / "train/masks/frame_00.png", np.full((24, 32), 9, np.uint8))
    config = read_config(data__root=str(root), data__crop=(16, 16))
    source = inputs.make_dataset(config).source("train")
    with pytest.raises(ValueError, match=r"frame_00\.png holds ids .* 9 \(768"):
        source[0]


@pytest.mark.slow
def test_tiny_trains(tmp_path):
    scores = train.train(read_config("tiny", num_devices=1), str(tmp_path))
    assert np.isfinite(scores["val"]["mean_iou"])
