"""Whose features are taken: of a file of DINO, a config with weights, or a run."""

import argparse
import pathlib

import jax
import numpy as np
import pytest

from jaxseg.config import ConfigError
from jaxseg.tools import spectral_source
from tests.pretrained import tiny_dino

ROOT = pathlib.Path(__file__).parent.parent.parent
CONFIG = str(ROOT / "configs" / "spnet_voc_mini.py")


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    spectral_source.add_arguments(parser)
    return parser.parse_args(arguments)


def load(*arguments):
    return spectral_source.load(parsed(*arguments))


def test_a_file_of_dino_gives_its_keys(tmp_path):
    path = tiny_dino.save(tmp_path / "dino.safetensors")
    source = load("--weights", path)
    assert source.stage is None and source.title == "dino.safetensors"
    assert source.network.backbone.patch_size == 8


def test_a_config_gives_its_backbone_filled_from_its_weights(data_root, monkeypatch):
    monkeypatch.setenv("JAXSEG_DATA", str(data_root))
    source = load("--config", CONFIG, "--output_stride", "8", "--stage", "-2")
    assert source.stage == -2 and source.network.backbone.output_stride == 8
    image = np.zeros((1, 32, 32, 3), np.float32)
    stages = jax.jit(
        lambda v, x: source.network.apply(v, x, train=False, method="stages")
    )(source.variables, image)
    assert [x.shape[1] for x in stages] == [16, 8, 4, 4, 4]
    assert all(np.asarray(x).std() > 0 for x in stages)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "features of nothing: give one of --weights"),
        (("--weights", "a", "--workdir", "b"), "--weights and --workdir: give one"),
        (("--weights", "a", "--stage", "1"), "--stage and --output_stride are for"),
        (("--weights", "a", "--init_from", "b"), "--init_from is for --config"),
        (("--config", f"{CONFIG}:tiny"), "names no weights.*--init_from FILE"),
        (("--config", CONFIG, "--init_from", str(ROOT)), "is a folder: of a run"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        load(*arguments)


def test_a_missing_config_is_named():
    with pytest.raises(FileNotFoundError, match="no config absent.py"):
        load("--config", "absent.py")


def test_a_backbone_without_an_output_stride_is_refused(tmp_path):
    network, _, _ = spectral_source.dino.load(
        tiny_dino.save(tmp_path / "dino.safetensors")
    )
    with pytest.raises(ConfigError, match="a ViT has no output_stride"):
        spectral_source.with_stride(network, 8)


def test_what_is_at_hand_is_taken_and_named(tmp_path):
    path = tiny_dino.save(tmp_path / "dino.safetensors")
    assert spectral_source.at_hand(weights=path).stage is None
    source = spectral_source.at_hand()
    assert source.title == "an untrained network"
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3))
    stages = jax.jit(
        lambda v, x: source.network.apply(v, x, train=False, method="stages")
    )(source.variables, image)
    assert stages[source.stage].shape == (1, 2, 2, 64)
