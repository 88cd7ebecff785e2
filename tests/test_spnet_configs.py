"""SPNet's configs: the authors' recipe, the split to choose gamma by, tiny runs."""

import pathlib

import jax
import jax.numpy as jnp
import pytest

from jaxseg import config as config_lib
from jaxseg import train
from jaxseg.data import inputs, splits
from jaxseg.data.labels import LabelSet, colour_map, read_table
from jaxseg.methods import base
from tests.test_train import lines

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
PUBLISHED = ("spnet_voc", "spnet_context", "spnet_coco_stuff")
EVERYTHING = (*PUBLISHED, "spnet_voc_mini")


def load(name, *words):
    return config_lib.load(CONFIGS / f"{name}.py", *words)


def method_of(config):
    """The method of a config on ten classes without names."""
    labels = LabelSet(tuple(map(str, range(10))), colour_map(10))
    return base.from_config(config, labels.with_unseen(("8", "9")))


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("word", ["", "zero_label"])
def test_every_section_is_understood(name, word):
    config = load(name, word)
    config_lib.check(config)
    method = method_of(config)
    assert method.zero_label == bool(word)
    inputs.device_augmentation(config)  # makes the transform of the data's keys
    config_lib.make("protocols", config["evals"]["val"]["protocol"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_recipe_is_the_authors(name):
    config = load(name)
    data, method = config["data"], method_of(config)
    assert data["warp"] == (513, 513) and data["crop"] == (321, 321)
    assert data["scale"] == (0.5, 1.5) and data["batch_size"] == 10
    params = {
        "backbone": {"conv1": {"kernel": jnp.ones(1)}},
        "head": {"rate_0": {"kernel": jnp.ones(1), "bias": jnp.ones(1)}},
    }
    still = jax.tree.map(jnp.zeros_like, params)
    updates, _ = method.optimizer.update(still, method.optimizer.init(params), params)
    head, decay = updates["head"]["rate_0"], 2.5e-4 * 5e-4
    assert updates["backbone"]["conv1"]["kernel"] == pytest.approx(-decay)
    assert head["kernel"] == pytest.approx(-10 * decay) and head["bias"] == 0
    schedule = base.make_schedule(config)
    rates = [float(schedule(step)) for step in (0, 9, 10)]
    assert rates[:2] == pytest.approx([2.5e-4] * 2) and rates[2] < rates[1]


@pytest.mark.parametrize(
    "name, table, held_out",
    [
        ("spnet_voc", "VOC", ("train_aug[:-500]", "train_aug[-500:]")),
        ("spnet_voc_mini", "VOC", ("train[:-64]", "train[-64:]")),
        ("spnet_coco_stuff", "coco_stuff", ("train[:-2000]", "train[-2000:]")),
    ],
)
def test_gamma_is_chosen_on_other_classes_and_pictures(name, table, held_out):
    config = load(name, "validation")
    assert (config["data"]["split"], config["evals"]["val"]["split"]) == held_out
    unseen = config["data"]["unseen"]
    assert splits.is_for_validation(unseen)
    classes = splits.labels.VOC if table == "VOC" else read_table(table)
    chosen = splits.apply(classes, unseen)
    tested = splits.apply(classes, unseen.partition(":")[0])
    held = {tested.names[i] for i in tested.unseen}
    assert not held & set(chosen.names) and len(chosen.unseen) > 2


@pytest.mark.parametrize("name", EVERYTHING)
def test_unknown_words_are_refused(name):
    with pytest.raises(ValueError, match="'huge': use words of seen"):
        load(name, "huge")
    with pytest.raises(ValueError, match="one is a stage"):
        load(name, "seen", "st")


@pytest.mark.parametrize("name", EVERYTHING)
def test_self_training_is_a_stage_of_its_own(name):
    config = load(name, "st", "tiny")
    config_lib.check(config)
    method = base.from_config(config, inputs.make_dataset(config).labels)
    assert method.self_training and method.pseudo_labels.top_p == 1
    calibration = 0.4 if name == "spnet_coco_stuff" else 0.6
    assert method.pseudo_labels.calibration == calibration and method.gamma == 0
    plain = load(name)
    assert load(name, "seen") == plain and "pseudo_labels" not in plain["method"]
    assert load(name, "st")["init_from"] == "runs/spnet/seen"


def test_a_tiny_run_is_gone_on_from_with_self_training(tmp_path):
    first, second = str(tmp_path / "seen"), str(tmp_path / "st")
    train.train(load("spnet_voc", "tiny"), first)
    train.train(load("spnet_voc", "st", "tiny") | {"init_from": first}, second)
    logged = [line for line in lines(second) if "pseudo_labelled" in line]
    assert len(logged) == 2
    assert all(0 < line["loss"] < 100 for line in logged)


@pytest.mark.parametrize("name", EVERYTHING)
def test_tiny_runs_are_offline_and_have_unseen_classes(name):
    config = load(name, "tiny", "zero_label")
    config_lib.check(config)
    dataset = inputs.make_dataset(config)
    labels = dataset.labels
    assert labels.word_vectors.shape == (10, 16) and len(labels.unseen) == 2
    assert base.from_config(config, labels).segmentor.head.features == 16
    assert dataset.source(config["evals"]["val"]["split"])[0]["image"].any()
