"""Words of SAZS's configs."""

import functools
import pathlib

import jax
import numpy as np
import pytest

from jaxseg import models, train
from jaxseg.config import ConfigError, load
from jaxseg.data import inputs
from jaxseg.pretrained.load import load_weights
from tests.pretrained import tiny_dino

CONFIGS = sorted(pathlib.Path("configs").glob("sazs_*_*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_searches_for_one_class_or_for_all(path):
    one, many = load(path, "tiny"), load(path, "multiclass,tiny")
    assert one["method"]["setting"] == "binary"
    assert many["method"]["setting"] == "multiclass"
    labels = inputs.make_dataset(many).labels
    assert labels.unseen == inputs.make_dataset(one).labels.unseen
    assert many["data"]["train_images"] == "ignore_unseen"
    with pytest.raises(ConfigError, match="unknown variant 'multi'"):
        load(path, "multi")


@pytest.mark.slow
def test_a_run_that_searches_for_all_has_seen_and_unseen_scores(tmp_path):
    config = load("configs/sazs_voc_mini.py", "align,multiclass,tiny")
    scores = train.train(config, str(tmp_path))["val"]
    assert {"seen_iou", "unseen_iou", "harmonic_iou"} <= scores.keys()


def test_the_whole_decoder_reads_four_stages_up_to_stride_two():
    path = "configs/sazs_pascal5i_dpt.py"
    whole = load(path, "decoder")["model"]
    assert whole["backbone"]["taps"] == (5, 11, 17, 23)
    model = models.build(load(path, "decoder,tiny")["model"], num_classes=21)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), "uint8")
    key = jax.random.key(0)
    outputs, _ = jax.eval_shape(
        functools.partial(model.init_with_output, train=False), key, image
    )
    assert outputs.coarse.shape == (1, 16, 16, 21)
    with pytest.raises(ConfigError, match="of configs with the encoder 'dpt'"):
        load("configs/sazs_pascal5i_drn.py", "decoder")


@pytest.mark.parametrize("words", ["", "decoder"])
def test_weights_of_an_imagenet_transformer_fill_the_encoder(words, tmp_path):
    config = load("configs/sazs_pascal5i_dpt.py", words)
    spec = config["model"] | {"guide": None, "guide_stage": -1}
    spec["backbone"] |= dict(width=32, num_heads=2, image_grid=(2, 2))
    spec["head"] |= dict(features=8)
    model = models.build(spec, num_classes=21)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), "uint8")
    init = functools.partial(model.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), image)
    blank = jax.tree.map(lambda leaf: np.full(leaf.shape, np.nan, "f4"), shapes)
    sizes = dict(width=32, depth=24, patch=16, grid=2)
    file = tiny_dino.save(tmp_path / "vit.safetensors", **sizes)
    params, _, report = load_weights(
        file, model, blank["params"], {}, allow=config["init_allow"]
    )
    assert np.isfinite(params["backbone"]["blocks_11"]["mlp"]["fc2"]["kernel"]).all()
    kept = {name.split("/")[2] for name in report.kept if "/backbone/" in name}
    assert all(name.startswith("readouts") for name in kept)
