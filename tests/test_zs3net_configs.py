"""ZS3Net's configs: four data sets, three stages joined by `init_from`."""

import json
import pathlib

import numpy as np
import pytest

from jaxseg import config as config_lib
from jaxseg import predict, train
from jaxseg.checkpoints import Checkpoints
from jaxseg.data import splits
from jaxseg.data.labels import VOC, read_table

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
# By config, the word of another protocol, if there is one.
OTHER = dict(
    zs3net_voc="spnet",
    zs3net_context="cagnet",
    zs3net_voc_mini="zs3",
    zs3net_coco_stuff="",
)
NAMES = tuple(OTHER)
STAGES = ("segmentation", "generator", "self_training")


def read(name, *words):
    config = config_lib.load(CONFIGS / f"{name}.py", *words)
    return config | {"num_devices": 1}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", NAMES)
def test_every_section_is_understood(name, stage):
    for words in ((stage,), (stage, OTHER[name]), (stage, "tiny")):
        config = read(name, *words)
        config_lib.check(config)
        assert config["method"]["stage"] == stage


@pytest.mark.parametrize("name", NAMES)
def test_the_first_stage_is_the_default_and_order_does_not_matter(name):
    assert read(name) == read(name, "segmentation")
    words = ("tiny", "graph", OTHER[name], "generator")
    assert read(name, *words) == read(name, *reversed(words))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", ["generators", "segmentation,generator"])
def test_variants_that_say_nothing_or_two_things_are_refused(name, wrong):
    with pytest.raises(ValueError, match="use words of"):
        read(name, wrong)


@pytest.mark.parametrize("name", NAMES)
def test_graph_context_is_a_word_for_all_stages_and_of_the_generators_alone(name):
    for stage in ("segmentation", "self_training"):
        assert read(name, stage, "graph") == read(name, stage)
    assert read(name, "generator", "graph")["method"]["graph_context"]


@pytest.mark.parametrize("name", NAMES)
def test_self_training_sees_the_pictures_with_unseen_classes(name):
    for words in ((), (OTHER[name],)):
        options = read(name, "self_training", *words)["data"]
        assert options["train_images"] == "ignore_unseen"


@pytest.mark.parametrize("name", NAMES)
def test_splits_name_classes_of_the_data_and_background_is_on_one_side(name):
    for words in ((), (OTHER[name],)):
        options = read(name, *words)["data"]
        table = VOC
        if "context" in name:
            table = read_table(f"pascal_context_{options['classes']}")
        if "coco" in name:
            table = read_table("coco_stuff")
        has_background = "background" in table.names
        if has_background and not options["background"]:
            table = table.without(("background",))
        chosen = splits.apply(table, options["unseen"])
        assert chosen.seen and chosen.unseen


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """The three stages on scenes, each from the one before: folders by stage."""
    folders, source = {}, ""
    for stage in STAGES:
        folders[stage] = tmp_path_factory.mktemp(stage)
        config = read("zs3net_voc_mini", stage, "tiny") | {"init_from": source}
        train.train(config, str(folders[stage]))
        source = str(folders[stage])
    return folders


def sub_networks(folder):
    with Checkpoints(str(folder), read_only=True) as checkpoints:
        return checkpoints.sub_networks()


def test_stages_go_on_from_one_another_and_say_what_they_saw(joined):
    settings = [
        json.loads((folder / "config.json").read_text())["protocol"]["setting"]
        for folder in joined.values()
    ]
    assert settings == ["inductive", "inductive", "transductive"]
    networks = [sub_networks(folder) for folder in joined.values()]
    assert networks == [{"segmentor"}, {"segmentor", "generator"}, {"segmentor"}]


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_predicts_from_its_folder(joined, stage):
    run, labels = predict.load(str(joined[stage]))
    assert len(labels.unseen) == 2
    photo = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    assert run(photo).shape == (32, 64)
