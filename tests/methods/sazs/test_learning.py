"""SAZS learns from texts what a class that it has never seen looks like."""

import json

import numpy as np
import pytest

from jaxseg import predict, train
from jaxseg.config import load
from jaxseg.data import clip_text, inputs
from jaxseg.data.labels import IGNORE

NAMES = ("background", "aeroplane", "boat", "cat", "dog", "bus")
UNSEEN = "dog"


def colours_of(texts):
    """Colours as alike as the texts: their three principal parts, 0..255."""
    centred = texts - texts.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    parts = centred @ axes[:3].T
    low, high = parts.min(axis=0), parts.max(axis=0)
    return np.round(255 * (parts - low) / (high - low)).astype(int)


@pytest.mark.slow
def test_a_class_never_trained_on_is_found_by_its_text(tmp_path, data_root):
    path = str(data_root / "clip_text" / "voc21_vitb16_photo.npz")
    texts = clip_text.read(NAMES, path=path, model="ViT-B/16")
    colours = tuple(tuple(map(int, row)) for row in colours_of(texts))
    shapes = dict(classes=NAMES, colours=colours, unseen=(UNSEEN,))
    config = load("configs/sazs_voc_mini.py", "align,multiclass,tiny")
    size = dict(height=64, width=64, crop=(64, 64))
    config["data"] |= shapes | size | dict(num_train=120, num_val=40)
    config["total_steps"] = 200
    config["word_vectors"] = dict(name="clip_text.read", path=path, model="ViT-B/16")
    config["model"]["backbone"] |= dict(widths=(16, 32), depths=(0, 1))
    config["model"]["head"] = dict(name="heads.fcn.FCN", features=512)
    config["evals"]["val"]["canvas"] = (64, 64)
    config["optimizer"]["multipliers"] = ()
    config["schedule"]["peak"] = 3e-3
    config["every"] = dict(log=20, checkpoint=0, evaluate=0, pictures=0)
    train.train(config, str(tmp_path))
    with open(tmp_path / "metrics.jsonl") as file:
        lines = [json.loads(line) for line in file]
    losses = [line["cross_entropy"] for line in lines if "cross_entropy" in line]
    assert losses[-1] < 0.5 * losses[0]
    iou, share = told_and_found(str(tmp_path), inputs.make_dataset(config))
    assert iou > 2 * share


def told_and_found(workdir, dataset):
    """IoU of the unseen class where it is told, and its share of those pictures.

    To call everything the class has that share as its IoU.
    """
    method, state = predict.load_state(workdir)
    source, class_id = dataset.source("val"), NAMES.index(UNSEEN)
    examples = [source[i] for i in range(len(source))]
    held = [example for example in examples if (example["label"] == class_id).any()]
    image, label = (
        np.stack([example[key] for example in held]) for key in ("image", "label")
    )
    told = {"image": image, "class_id": np.full(len(held), class_id)}
    found = np.asarray(method.predict(state, told)).argmax(axis=-1) == class_id
    truth, labelled = label == class_id, label != IGNORE
    both = (found & truth & labelled).sum()
    either = ((found | truth) & labelled).sum()
    return both / either, truth.sum() / labelled.sum()
