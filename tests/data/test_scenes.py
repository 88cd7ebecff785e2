"""Scenes: the same everywhere, every class in reach, colour alone tells little."""

import hashlib
import importlib.util
import json
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from jaxseg.data import scene_canvas, scenes
from jaxseg.data.labels import IGNORE

NUM_CLASSES = scenes.SCENES.num_classes
QUICKSTART = pathlib.Path(__file__).parents[2] / "configs" / "quickstart.py"


@pytest.fixture(scope="module")
def first_50():
    source = scenes.Scenes().source("train")
    examples = [source[i] for i in range(50)]
    return {key: np.stack([e[key] for e in examples]) for key in ("image", "label")}


def test_pictures_have_the_promised_form(first_50):
    assert first_50["image"].shape == (50, 96, 128, 3)
    assert first_50["label"].shape == (50, 96, 128)
    assert {v.dtype for v in first_50.values()} == {np.dtype(np.uint8)}
    assert set(np.unique(first_50["label"])) == {*range(NUM_CLASSES), IGNORE}


def test_rendering_does_not_drift():
    """A picture of another sum is another data set: published numbers go stale."""
    example = scenes.Scenes().source("val")[7]
    data = example["image"].tobytes() + example["label"].tobytes()
    assert hashlib.sha256(data).hexdigest()[:16] == "cb2d3e00a5118913"


def test_a_picture_depends_on_its_index_only():
    forward, backward = scenes.Scenes().source("test"), scenes.Scenes().source("test")
    expected = [forward[i] for i in range(4)]
    for i in reversed(range(4)):
        for key in ("image", "label"):
            np.testing.assert_array_equal(backward[i][key], expected[i][key])


def test_asking_twice_gives_the_same_picture_and_no_shared_memory():
    source = scenes.Scenes().source("train")
    kept = source[3]["image"]
    source[3]["image"][:] = 0
    np.testing.assert_array_equal(source[3]["image"], kept)


def test_index_split_and_seed_each_change_the_picture():
    pictures = [
        scenes.Scenes(seed=seed).source(split)[index]["image"].tobytes()
        for seed, split, index in [
            *((0, "train", 0), (0, "train", 1), (0, "val", 0)),
            *((0, "test", 0), (1, "train", 0)),
        ]
    ]
    assert len(set(pictures)) == len(pictures)


def test_splits_have_the_asked_sizes_and_end_there():
    dataset = scenes.Scenes(num_train=3, num_val=2, num_test=1)
    assert [len(dataset.source(s)) for s in ("train", "val", "test")] == [3, 2, 1]
    assert dataset.source("val").name(1) == "scenes/val/00001"
    assert len(list(dataset.source("train"))) == 3
    with pytest.raises(IndexError, match="val/00002: the split has 2 pictures"):
        dataset.source("val")[2]


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="no split 'trian'"):
        scenes.Scenes().source("trian")


def test_classes_can_be_unseen():
    table = scenes.Scenes(unseen=("car", "person")).labels
    assert (table.seen, table.unseen) == ((0, 1, 2, 3, 4, 5, 6, 7), (8, 9))
    assert scenes.Scenes().labels is scenes.SCENES
    with pytest.raises(ValueError, match="no class is called"):
        scenes.Scenes(unseen=("cow",))


def test_a_source_survives_pickling():
    source = scenes.Scenes().source("val")
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[5]["image"], source[5]["image"])


def test_larger_pictures_show_the_same_streets():
    small = scenes.Scenes().source("val")[0]["label"]
    large = scenes.Scenes(height=192, width=256).source("val")[0]["label"]
    assert large.shape == (192, 256)
    assert np.mean(large[::2, ::2] == small) > 0.9


def test_every_class_has_a_share_and_none_rules(first_50):
    share = np.bincount(first_50["label"].ravel(), minlength=256) / 50 / 96 / 128
    assert np.all(share[:NUM_CLASSES] > 0.01)
    assert np.all(share[:NUM_CLASSES] < 0.5)
    assert 0.005 < share[IGNORE] < 0.06


def test_small_classes_are_in_most_pictures(first_50):
    for class_id in (
        scene_canvas.FENCE,
        scene_canvas.POLE,
        scene_canvas.SIGN,
        scene_canvas.CAR,
        scene_canvas.PERSON,
    ):
        assert np.mean(np.any(first_50["label"] == class_id, axis=(1, 2))) > 0.6


def test_poles_are_thin_and_roads_are_not(first_50):
    """Eroding with a 5 x 5 window leaves no pole and most of the road."""

    def left_over(class_id):
        mask = first_50["label"] == class_id
        core = [ndimage.binary_erosion(m, np.ones((5, 5))) for m in mask]
        return np.sum(core) / np.sum(mask)

    assert left_over(scene_canvas.POLE) < 0.05
    assert left_over(scene_canvas.ROAD) > 0.7


def colour_classifier_iou(examples, unseen, *, bits):
    """IoU [C] on `unseen` of naming a pixel by the commonest class of its colour."""

    def bins(images):
        channels = images.astype(np.int64) >> (8 - bits)
        return (channels << np.array([2 * bits, bits, 0])).sum(-1)

    counts = np.zeros((1 << 3 * bits, 256), np.int64)
    np.add.at(counts, (bins(examples["image"]), examples["label"]), 1)
    guess = counts[:, :NUM_CLASSES].argmax(1)[bins(unseen["image"])]
    truth, known = unseen["label"], unseen["label"] != IGNORE
    return np.array(
        [
            np.sum((guess == c) & (truth == c))
            / np.sum(((guess == c) | (truth == c)) & known)
            for c in range(NUM_CLASSES)
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("bits", [3, 4, 5])
def test_colour_alone_stays_under_0_6(bits):
    def load(split, num):
        source = scenes.Scenes().source(split)
        examples = [source[i] for i in range(num)]
        return {key: np.stack([e[key] for e in examples]) for key in examples[0]}

    ious = colour_classifier_iou(load("train", 500), load("val", 100), bits=bits)
    assert np.mean(ious) < 0.6


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_quickstart_at_ten_times_its_budget_exceeds_0_85(tmp_path):
    spec = importlib.util.spec_from_file_location("quickstart", QUICKSTART)
    quickstart = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(quickstart)
    steps = 10 * quickstart.get_config().total_steps
    flags = (f"--config={QUICKSTART}", f"--config.total_steps={steps}")
    # Its own process: the tests' compiler flags would make it several times slower.
    subprocess.run(
        [sys.executable, "-m", "jaxseg.main", *flags, f"--workdir={tmp_path}"],
        cwd=QUICKSTART.parents[1],
        env=os.environ | {"XLA_FLAGS": ""},
        check=True,
    )
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    scores = [line for line in map(json.loads, lines) if line["split"] == "val"][-1]
    assert scores["step"] == steps
    assert scores["mean_iou"] > 0.85
