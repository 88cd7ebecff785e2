"""`configs/cagnet_voc_mini.py`: every stage, every word, through train and resume."""

import math
import pathlib
import runpy

import pytest

from jaxseg import config as config_lib
from jaxseg import predict, train
from jaxseg.data import inputs
from jaxseg.methods import base
from tests.test_train import lines, stop_after

FILE = pathlib.Path(__file__).parents[1] / "configs/cagnet_voc_mini.py"
MODULE = runpy.run_path(str(FILE))
STAGES = MODULE["STAGES"]
ABLATIONS = tuple(word for word in MODULE["WORDS"] if word.startswith("no_"))


def read(variant=""):
    return MODULE["get_config"](variant).to_dict()


def build(variant):
    """The method of a tiny variant."""
    config = read(f"{variant},tiny")
    config_lib.check(config)
    return base.from_config(config, inputs.make_dataset(config).labels)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("word", ["", "patch"])
def test_stages_differ_in_what_they_say(stage, word):
    method = build(f"{stage},{word}")
    assert method.trains_encoder == (stage in ("step1", "st"))
    assert (method.synthesis is not None) == stage.endswith("mixed")
    assert method.self_training == (stage == "st")
    assert method.segmentor.decoder.window == (3 if word else 1)
    if method.synthesis is not None:
        assert method.synthesis.patch == (3 if word else 1)
        assert method.synthesis.unseen_rate == (5.0 if stage == "st_mixed" else 9.0)


@pytest.mark.parametrize("word", ABLATIONS)
def test_an_ablation_changes_what_its_name_says(word):
    method = build(word)
    weights, context = method.weights, method.segmentor.head.context
    found = dict(
        no_context=context.kind == "none",
        no_selector=not context.selector,
        no_discriminator=weights.critic_adversarial
        == weights.generator_adversarial
        == 0,
        no_content=weights.generator_content == 0,
        no_divergence=weights.encoder_divergence == 0,
    )
    assert [name for name, changed in found.items() if changed] == [word]


@pytest.mark.parametrize("stage", STAGES)
def test_words_come_in_any_order(stage):
    assert read(f"tiny,patch,{stage},no_content") == read(
        f"no_content,{stage},patch,tiny"
    )


@pytest.mark.parametrize("variant", ["big", "step1,mixed", "st,st_mixed", "step_1"])
def test_other_words_are_refused(variant):
    with pytest.raises(ValueError, match="use words of step1, mixed"):
        read(variant)


def test_each_stage_goes_on_from_the_one_before():
    sources = [read(stage)["init_from"] for stage in STAGES]
    assert sources[1:] == [f"runs/cagnet/{stage}" for stage in STAGES[:-1]]


def test_the_classes_are_the_published_ones(data_root):
    labels = inputs.make_dataset(read()).labels
    assert (len(labels.seen), len(labels.unseen)) == (15, 5)
    assert "pottedplant" in [labels.names[i].replace("_", "") for i in labels.unseen]
    assert labels.word_vectors.shape == (20, 600)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of step1, and one of patch-wise fine-tuning from it."""
    folder = tmp_path_factory.mktemp("cagnet")
    train.train(read("step1,patch,tiny"), str(folder / "step1"))
    config = mixed(folder)
    return folder, train.train(config, str(folder / "mixed"))


def mixed(folder):
    config = read("mixed,patch,tiny") | {"total_steps": 4}
    return config | {"init_from": str(folder / "step1"), "every": dict(log=1)}


@pytest.mark.slow
def test_a_stage_begins_where_the_one_before_ended(finished):
    folder, scores = finished
    assert 0 <= scores["val"]["mean_iou"] <= 1
    with train.Checkpoints(str(folder / "step1"), read_only=True) as checkpoints:
        assert checkpoints.latest_step == 2
    said = [line for line in lines(folder / "mixed") if "loss" in line]
    assert [line["step"] for line in said] == [1, 2, 3, 4]
    # Two synthesis steps after every second one on pictures.
    entropies = [line["synthesised_cross_entropy"] for line in said]
    assert entropies[0] == pytest.approx(math.log(10))  # that of a guess
    assert entropies[0] != entropies[1] == entropies[2] != entropies[3]


@pytest.mark.slow
def test_a_stopped_stage_goes_on_as_if_it_had_not_been(finished, tmp_path, monkeypatch):
    folder, scores = finished
    with monkeypatch.context() as context:
        stop_after(context, 3)
        assert train.train(mixed(folder), str(tmp_path)) == {}
    again = train.train(mixed(folder), str(tmp_path))
    assert again["val"]["mean_iou"] == scores["val"]["mean_iou"]
    ours, theirs = lines(tmp_path), lines(folder / "mixed")
    said = [
        [x["generator_loss"] for x in found if "loss" in x] for found in (ours, theirs)
    ]
    assert said[0] == said[1]


@pytest.mark.slow
def test_a_folder_predicts_and_says_its_protocol(finished):
    folder, _ = finished
    predictor, labels = predict.load(str(folder / "mixed"), exact=True)
    picture = inputs.make_dataset(mixed(folder)).source("val")[0]["image"]
    assert predictor(picture).shape == picture.shape[:2]
    assert len(labels.unseen) == 2
    recorded = (folder / "mixed" / "config.json").read_text()
    assert '"inductive"' in recorded and '"ignore_unseen"' in recorded
