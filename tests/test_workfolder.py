import dataclasses
import json
import os

import jax
import numpy as np
import pytest

from jaxseg import workfolder
from jaxseg.config import ConfigError
from jaxseg.data.labels import CAMVID, CITYSCAPES

CONFIG = dict(seed=0, data=dict(root="here", crop=(2, 3)), every=dict(log=1))


def claim(workdir, labels=CAMVID, **changes):
    workfolder.claim(CONFIG | changes, str(workdir), labels)


def test_a_new_folder_records_config_classes_and_versions(tmp_path):
    claim(tmp_path / "run")
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["data"]["crop"] == [2, 3]
    assert recorded["id2label"]["3"] == "Road"
    versions = json.loads((tmp_path / "run" / "versions.json").read_text())
    assert {"python", "jax", "flax", "devices"} <= set(versions)


def test_another_config_is_refused_once_there_are_checkpoints(tmp_path):
    claim(tmp_path)
    claim(tmp_path, seed=1)  # nothing is lost yet
    os.makedirs(tmp_path / "checkpoints" / "2")
    with pytest.raises(ConfigError, match=r"seed: 1 -> 2"):
        claim(tmp_path, seed=2)
    assert workfolder.read_config(str(tmp_path))["seed"] == 1


def test_the_newest_whole_checkpoint_is_found(tmp_path):
    assert workfolder.newest_step(str(tmp_path)) is None
    for name in ("9", "100", "200.orbax-checkpoint-tmp"):
        os.makedirs(tmp_path / "checkpoints" / name)
    assert workfolder.newest_step(str(tmp_path)) == 100


def test_what_does_not_change_learning_may_change(tmp_path):
    claim(tmp_path)
    os.makedirs(tmp_path / "checkpoints" / "2")
    claim(tmp_path, every=dict(log=9), data=dict(root="there", crop=(2, 3)))


def test_the_protocol_of_a_run_may_not_change(tmp_path):
    told = dict(setting="inductive", unseen=["Sky"])
    claim(tmp_path)
    assert workfolder.PROTOCOL not in workfolder.read_config(str(tmp_path))
    workfolder.claim(CONFIG, str(tmp_path), CAMVID, protocol=told)
    assert workfolder.read_config(str(tmp_path))[workfolder.PROTOCOL] == told
    os.makedirs(tmp_path / "checkpoints" / "2")
    workfolder.claim(CONFIG, str(tmp_path), CAMVID, protocol=told)
    other = told | dict(setting="transductive")
    with pytest.raises(ConfigError, match="protocol.setting: 'inductive' -> 'transd"):
        workfolder.claim(CONFIG, str(tmp_path), CAMVID, protocol=other)


def test_a_table_of_words_may_lie_elsewhere_and_be_no_other(tmp_path):
    where = dict(path="here.npz", weights="here.pt")
    words = dict(name="some.table", parts=("word2vec",), **where)
    claim(tmp_path, word_vectors=words)
    os.makedirs(tmp_path / "checkpoints" / "2")
    for key in where:
        claim(tmp_path, word_vectors=words | {key: "there"})
    with pytest.raises(ConfigError, match="word_vectors.parts"):
        claim(tmp_path, word_vectors=words | dict(parts=("fasttext",)))


def test_a_folder_keeps_the_word_vectors_of_its_classes(tmp_path):
    vectors = np.eye(CAMVID.num_classes, 4, dtype=np.float32) + 1
    claim(tmp_path, dataclasses.replace(CAMVID, word_vectors=vectors))
    np.testing.assert_array_equal(workfolder.read_word_vectors(str(tmp_path)), vectors)
    assert workfolder.read_word_vectors(str(tmp_path / "other")) is None


def test_a_host_that_does_not_see_the_folder_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(workfolder, "VISIBLE_SECONDS", 0.0)
    utilities = workfolder.multihost_utils
    monkeypatch.setattr(utilities, "broadcast_one_to_all", lambda size: 7)
    (tmp_path / "starts.jsonl").write_text("1234567")
    workfolder.check_shared(str(tmp_path), "starts.jsonl")
    (tmp_path / "starts.jsonl").write_text("of another run")
    with pytest.raises(ConfigError, match="process 1 on .* does not see"):
        workfolder.check_shared(str(tmp_path), "starts.jsonl")


def test_other_classes_are_refused(tmp_path):
    claim(tmp_path)
    os.makedirs(tmp_path / "checkpoints" / "2")
    with pytest.raises(ConfigError, match="id2label.0: 'Sky' -> 'road'"):
        claim(tmp_path, labels=CITYSCAPES)
