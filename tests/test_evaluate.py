import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config as config_lib
from jaxseg import evaluate, sharding
from jaxseg.checkpoints import CheckpointError
from jaxseg.data import inputs
from jaxseg.data import labels as labels_lib
from jaxseg.methods import base
from jaxseg.protocols.multiscale import MultiScale
from jaxseg.protocols.sliding import Sliding
from jaxseg.protocols.whole import Whole
from tests.test_train import make_config


def make_evaluator(**changes):
    config = make_config(**changes)
    dataset = inputs.make_dataset(config)
    method = base.from_config(config, dataset.labels)
    return evaluate.make_evaluator(config, dataset, method, sharding.make_mesh(1))


class Pixels:
    """A measure: how many pixels are labelled."""

    def __init__(self, labels, name_of_score="num_pixels"):
        self.labels = labels
        self.name_of_score = name_of_score

    def count(self, truth, prediction, size=None):
        counts = (truth >= 0) & (truth < self.labels.num_classes)
        return jnp.sum(counts, dtype=jnp.int32)

    def scores(self, totals):
        return {self.name_of_score: int(totals)}


PIXELS = dict(name="tests.test_evaluate:Pixels")


class Silent:
    """A report that keeps what it is told."""

    def scores(self, *arguments, **options):
        self.told = arguments, options

    def pictures(self, step, name, pictures):
        self.panels = pictures


def test_a_config_names_protocols_and_those_inside_of_them():
    sliding = dict(name="sliding.Sliding", window=[16, 32], stride=[8, 16])
    spec = dict(name="multiscale.MultiScale", inner=sliding, scales=(1.0, 1.5))
    protocol = evaluate.make_protocol(dict(split="val", protocol=spec))
    inner = Sliding(window=(16, 32), stride=(8, 16))
    assert protocol == MultiScale(inner=inner, scales=(1.0, 1.5))
    assert evaluate.make_protocol(dict(split="val")) == Whole()


def test_a_protocol_that_cannot_be_names_its_mistake():
    for spec, message in (
        (dict(name="sliding.Slide"), "did you mean 'Sliding'"),
        (dict(name="sliding.Sliding", window=(8, 8), stride=(9, 9)), "no window"),
        (dict(name="whole.Whole", multipel=8), "did you mean 'multiple'"),
    ):
        with pytest.raises(config_lib.ConfigError, match=message):
            make_evaluator(evals__val__protocol=spec)


def test_scores_hold_those_of_the_confusion_and_of_further_measures():
    evaluator = make_evaluator(evals__val__measures=(PIXELS,))
    state = evaluator.method.init(
        jax.random.key(0), {"image": jnp.zeros((1, 32, 64, 3))}
    )
    report = Silent()
    scores = evaluator(state, report)["val"]
    source = evaluator.dataset.source("val")
    labelled = sum((source[i]["label"] != 255).sum() for i in range(5))
    assert scores["num_pixels"] == labelled
    assert 0 <= scores["mean_iou"] <= 1 and "class_iou" in scores
    assert report.told[0][2] is scores and len(report.panels) == 2


def test_a_metric_may_be_one_of_a_further_measure():
    changes = dict(evals__val__metrics=("num_pixels",))
    make_evaluator(evals__val__measures=(PIXELS,), **changes)
    with pytest.raises(config_lib.ConfigError, match="'num_pixels'"):
        make_evaluator(**changes)


def test_two_scores_of_one_name_are_refused():
    twice = (PIXELS, PIXELS)
    with pytest.raises(config_lib.ConfigError, match="num_pixels; name each"):
        make_evaluator(evals__val__measures=twice)


def test_evaluations_that_count_the_same_share_a_step():
    other = dict(split="train", batch_size=2)
    evaluator = make_evaluator(evals__train=other)
    one, two = evaluator.evaluations.values()
    assert one.step is two.step
    evaluator = make_evaluator(evals__train=dict(other, measures=(PIXELS,)))
    one, two = evaluator.evaluations.values()
    assert one.step is not two.step


def test_scores_without_measures_are_those_of_the_confusion():
    labels = make_evaluator().method.labels
    confusion = np.diag(np.arange(labels.num_classes)).astype(np.int64)
    scores = evaluate.all_scores(labels, confusion)
    assert scores["mean_iou"] == 1


def test_evaluating_nothing_says_where_it_looked(tmp_path):
    with pytest.raises(CheckpointError, match="not the work folder"):
        evaluate.run(make_config(), str(tmp_path))


def test_absent_classes_may_count_as_zero():
    labels = labels_lib.LabelSet(names=("a", "b"), palette=((0, 0, 0),) * 2)
    confusion = np.array([[4, 0], [0, 0]])
    scores = evaluate.all_scores(labels, confusion, absent_as_zero=True)
    assert scores["mean_iou"] == 0.5
    assert evaluate.all_scores(labels, confusion)["mean_iou"] == 1.0
