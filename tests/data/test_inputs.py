import dataclasses

import numpy as np
import pytest

from jaxseg.config import ConfigError, check
from jaxseg.data import inputs, scenes
from tests.test_train import make_config


def first(config):
    batches = inputs.training_batches(config, inputs.make_dataset(config), start_step=0)
    batch = next(batches)
    batches.close()
    return batch


def test_each_key_reaches_the_one_that_takes_it():
    config = make_config(data__crop=(16, 40), data__num_threads=3)
    assert inputs.make_dataset(config).source("train")[0]["image"].shape == (32, 64, 3)
    assert first(config)["image"].shape == (8, 16, 40, 3)


def test_the_seed_of_the_run_orders_the_pictures():
    one, same, other = (first(make_config(seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one["image"], same["image"])
    assert (one["image"] != other["image"]).any()


@pytest.mark.parametrize(
    ("order", "colour"), [("rgb", (10, 20, 30)), ("bgr", (30, 20, 10))]
)
def test_padding_has_the_colour_that_the_model_subtracts(order, colour):
    config = make_config(data__crop=(64, 64), model__mean=(10.0, 20.4, 30.0))
    config["model"]["channel_order"] = order
    config["data"] |= dict(scale=(1.0, 1.0), aspect=(1.0, 1.0), brightness=0)
    batch = first(config)
    padded = (batch["label"] == 255) & (batch["image"] == colour).all(-1)
    assert padded.mean() > 0.45


def test_another_transform_takes_its_own_keys():
    config = make_config()
    config["data"] |= dict(
        transform="views.MultiCrop", sizes=[16, 8], counts=[2, 3], sigma=[1.0, 1.0]
    )
    for key in ("crop", "scale", "aspect", "brightness"):
        config["data"].pop(key, None)
    check(config)
    batch = first(config)
    assert batch["crops_16"].shape == (8, 2, 16, 16, 3)
    assert batch["crops_8"].shape == (8, 3, 8, 8, 3)


def test_the_size_of_training_is_the_crop_or_that_of_the_first_views():
    assert inputs.training_size(make_config(data__crop=[16, 40])) == (16, 40)
    config = make_config(data__transform="views.MultiCrop", data__sizes=[16, 8])
    del config["data"]["crop"]
    assert inputs.training_size(config) == (16, 16)


@pytest.mark.parametrize("use", [first, inputs.training_size])
def test_a_missing_crop_is_an_error_of_the_config(use):
    config = make_config()
    del config["data"]["crop"]
    with pytest.raises(ConfigError, match="config.data: missing .* 'crop'"):
        use(config)


FEW_SHOT = dict(
    name="episodes.FewShot",
    fold=1,
    batch_size=4,
    crop=(64, 64),
    test_episodes=6,
)


@pytest.mark.parametrize("train_images", ["keep_unseen", "purge_unseen"])
def test_a_config_reaches_episodes(data_root, train_images):
    base = dict(name="voc.VOC", root=str(data_root / "voc_mini"))
    config = make_config(data=dict(FEW_SHOT, base=base, train_images=train_images))
    batch = first(config)
    classes = batch["class_id"][:, None, None]
    assert np.isin(batch["label"], (0, 255)).mean() < 1
    assert ((batch["label"] == classes) | np.isin(batch["label"], (0, 255))).all()
    assert not np.isin(classes, range(6, 11)).any()
    tested = inputs.evaluation_batches(
        make_config(data=config["data"], evals__val__canvas=(512, 512)),
        "val",
        inputs.make_dataset(config),
    )
    classes = np.concatenate([batch["class_id"] for batch in tested])
    assert len(classes) == 6 and np.isin(classes, range(6, 11)).all()


def zero_shot_config(**changes):
    config = make_config(data__unseen=("car", "person"), **changes)
    return config | dict(word_vectors=dict(name="word_vectors.drawn", size=6))


def test_word_vectors_join_the_labels_of_a_run():
    config = zero_shot_config()
    check(config)
    labels = inputs.make_dataset(config).labels
    assert labels.unseen == (8, 9) and labels.word_vectors.shape == (10, 6)
    plain = inputs.make_dataset(make_config())
    assert plain.labels.word_vectors is None and labels.names == plain.labels.names
    assert not np.isin(first(config)["label"], (8, 9)).any()


def test_episodes_are_drawn_with_word_vectors_too(monkeypatch):
    few = inputs.episodes.FewShot(base=scenes.Scenes())
    monkeypatch.setattr(inputs.episodes.FewShot, "draw", lambda _, split: split)
    worded = inputs.WithWordVectors(few, scenes.SCENES)
    assert inputs._draw(worded, "train") == "train" == inputs._draw(few, "train")
    assert inputs._draw(scenes.Scenes(), "train") is None


def test_a_table_of_words_reaches_the_labels_by_name(data_root):
    config = make_config(
        data=dict(
            name="voc.VOC",
            root=str(data_root / "voc_mini"),
            background=False,
            unseen="voc12_15_5",
            batch_size=8,
            crop=(64, 64),
        )
    )
    path = str(data_root / "word_vectors" / "voc12.npz")
    config["word_vectors"] = dict(name="word_vectors.read", path=path)
    labels = inputs.make_dataset(config).labels
    with np.load(path) as file:
        np.testing.assert_allclose(
            labels.word_vectors, file["fastnvec_unit"][1:], atol=2e-7
        )
    assert labels.unseen == (15, 16, 17, 18, 19)


class Overlapping(scenes.Scenes):
    """A data set of somebody's own whose split contradicts itself."""

    def __init__(self, *, height, width, num_train, num_val, unseen):
        super().__init__(unseen=unseen)
        self.labels = dataclasses.replace(
            self.labels, seen=tuple(range(10)), unseen=(9,)
        )


BAD_WORDS = {
    "overlap": (dict(data__name=f"{__name__}:Overlapping"), r"\[9\] are seen and"),
    "absent": (dict(data__unseen=("cow",)), r"no class is called \['cow'\]"),
    "another split": (dict(data__unseen="voc12_15_5"), "no class is called"),
    "twice": (dict(data__unseen=("car", "car")), "must be unique"),
    "nothing seen": (dict(data__unseen=scenes.SCENES.names), "nothing to train on"),
    "no file": (dict(word_vectors__path="none.npz"), "no file .* none.npz"),
    "no class": (dict(word_vectors__path="{}/cats.npz"), "cats.npz has no vector for"),
    "no key": (dict(word_vectors__pth="x"), "no key 'pth'; did you mean 'path'"),
    "no function": (dict(word_vectors__name="word_vectors.red"), "mean 'read'"),
}


@pytest.mark.parametrize("case", BAD_WORDS)
def test_what_zero_shot_training_cannot_start_from_is_refused(case, tmp_path):
    np.savez(tmp_path / "cats.npz", names=["cat"], fasttext=np.ones((1, 2)))
    changes, message = BAD_WORDS[case]
    words = dict(name="word_vectors.read", path="", parts=("fasttext",))
    config = make_config(data__unseen=("car",), word_vectors=words)
    for key, value in changes.items():
        section, name = key.split("__")
        config[section][name] = (
            value.format(tmp_path) if isinstance(value, str) else value
        )
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        inputs.make_dataset(config)


def test_image_labels_alone_hide_the_masks():
    batch = first(make_config(data__supervision="image_labels"))
    assert (batch["label"] == 255).all() and batch["image_labels"].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(data__crop=(0, 4)), "crop is"),
        (dict(data__flip=2.0), "flip is a probability"),
        (dict(data__colour=1), "no key 'colour'"),
    ],
)
def test_bad_values_are_errors_of_the_config(changes, message):
    with pytest.raises(ConfigError, match=message):
        first(make_config(**changes))


def test_batches_of_evaluation_are_rounded_up_to_the_devices():
    config = make_config(evals__val__batch_size=3)
    batches = inputs.evaluation_batches(
        config, "val", inputs.make_dataset(config), multiple_of=4
    )
    valid = [batch["valid"].tolist() for batch in batches]
    assert valid == [[True] * 4, [True, False, False, False]]
