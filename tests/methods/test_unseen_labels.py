"""No zero-shot method's training depends on the labels of unseen classes.

CaGNet's own test, `tests/methods/cagnet/test_leak.py`, looks closer.
"""

import dataclasses
import functools
import pathlib

import jax
import pytest

from jaxseg import config as config_lib
from jaxseg.data import word_vectors
from jaxseg.data.scenes import SCENES
from jaxseg.methods import base
from tests.methods.cagnet.setting import differ
from tests.planted import Planted, first_batches
from tests.test_train import assert_same

CONFIGS = pathlib.Path(__file__).parent.parent.parent / "configs"
RUNS = ("spnet_voc", "zs3net_voc:segmentation", "zs3net_voc:generator")


@functools.cache
def ready(run):
    """A config of `RUNS` as :tiny, its method, and a compiled step."""
    name, _, word = run.partition(":")
    config = config_lib.load(CONFIGS / f"{name}.py", *filter(None, (word, "tiny")))
    labels = SCENES.with_unseen(config["data"]["unseen"])
    drawn = word_vectors.drawn(labels.names, size=config["word_vectors"]["size"])
    method = base.from_config(config, dataclasses.replace(labels, word_vectors=drawn))
    return config, method, jax.jit(method.train_step)


def trained(run, ids):
    """What two steps leave."""
    config, method, step = ready(run)
    planted = Planted(labels=method.labels, size=tuple(config["data"]["crop"]), ids=ids)
    batches = first_batches(config, planted, 2)
    state = method.init(jax.random.key(0), batches[0])
    for batch in batches:
        state, _ = step(state, batch)
    return state


@pytest.mark.parametrize("run", RUNS)
def test_labels_of_unseen_classes_change_nothing(run):
    unseen = ready(run)[1].labels.unseen
    wanted = trained(run, unseen)
    for ids in (unseen[:1], unseen[1:]):
        assert_same(wanted, trained(run, ids))


@pytest.mark.parametrize("run", RUNS)
def test_a_label_of_a_seen_class_there_would_have_changed_it(run):
    labels = ready(run)[1].labels
    one, other = (trained(run, ids) for ids in (labels.unseen, labels.seen[:1]))
    assert differ(one.params, other.params)
