"""Scores of eigensegments on pictures whose things are known."""

import json

import numpy as np
import pytest

from jaxseg.data.labels import VOC
from jaxseg.tools import score_eigensegments as scoring
from jaxseg.tools.score_eigensegments import Guess, Truth
from tests.pretrained import tiny_dino
from tests.tools.test_spectral_pictures import MAPS, finder, thing

MASK = np.zeros((10, 20), bool)
MASK[2:8, 4:14] = True
TRUTH = Truth(np.array([[4, 2, 14, 8]]), MASK, np.ones((10, 20), bool))


class Pictures:
    """A red thing in each, and one picture with none."""

    def __init__(self, sizes):
        self.images = [thing(*size) for size in sizes]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index]
        label = np.where(image[..., 0] > 100, 7, 0)
        if index == 1:
            label[:] = 0
        return {"image": image, "label": label.astype(np.uint8)}


def test_a_box_with_half_of_the_union_is_right():
    right = Guess(np.array([4, 2, 14, 5]), MASK)
    wrong = Guess(np.array([4, 2, 14, 4]), MASK)
    assert scoring.score(right, TRUTH) == (True, 1.0)
    assert scoring.score(wrong, TRUTH) == (False, 1.0)


def test_unlabelled_pixels_do_not_count():
    labelled = np.ones((10, 20), bool)
    labelled[:, 14:] = False
    truth = TRUTH._replace(labelled=labelled)
    guess = MASK.copy()
    guess[:, 14:] = True
    assert scoring.foreground_iou(guess, truth) == 1.0
    assert scoring.foreground_iou(guess, TRUTH) == pytest.approx(60 / 120)


def test_things_and_foreground_are_read_from_a_mask():
    label = np.where(MASK, 3, 0).astype(np.uint8)
    label[0, 0] = 255
    truth = scoring.truth_of(label, VOC, 0.01)
    np.testing.assert_array_equal(truth.boxes, TRUTH.boxes)
    np.testing.assert_array_equal(truth.foreground, MASK)
    assert not truth.labelled[0, 0] and truth.labelled.sum() == 199


def test_the_border_chooses_what_touches_it_least():
    masks = np.zeros((5, 6, 3), bool)
    masks[0, :, 0] = True  # all of it at the border
    masks[1:4, 1:4, 1] = True
    masks[1:4, :, 2] = True
    assert scoring.least_of_the_border(masks) == 1
    assert scoring.least_of_the_border(masks[..., [0, 2]]) == 1
    assert scoring.least_of_the_border(np.zeros((5, 6, 3), bool)) == 0


def test_baselines_are_a_box_of_half_the_picture_and_the_smaller_side():
    image = thing(100, 100)
    found = scoring.baselines(image)
    left, top, right, bottom = found["centre"].box
    assert (right - left) * (bottom - top) == pytest.approx(5000, rel=0.02)
    assert found["centre"].mask.sum() == (right - left) * (bottom - top)
    np.testing.assert_array_equal(found["otsu"].mask, image[..., 0] > 100)
    np.testing.assert_array_equal(found["otsu"].box, [25, 25, 75, 75])


def test_a_split_is_scored_by_choice_and_baseline():
    source = Pictures([(48, 64), (48, 64), (96, 60)])
    scores = scoring.measure(source, VOC, {"plain": finder(maps=MAPS)})
    choices = {("plain", x) for x in ("first", "border", "oracle")}
    assert set(scores) == choices | {("", "centre"), ("", "otsu")}
    assert all(values.shape == (2, 2) for values in scores.values())  # one has no thing
    assert (scores["plain", "first"][:, 0] == 1).all()
    best = scores["plain", "oracle"][:, 1]
    assert (best >= scores["plain", "first"][:, 1]).all() and (best > 0.6).all()
    np.testing.assert_array_equal(scores["", "otsu"], 1)


def test_the_command_prints_a_line_for_each(tmp_path, data_root, capsys):
    weights = tiny_dino.save(tmp_path / "dino.safetensors")
    given = ("--root", str(data_root / "voc_mini"), "--split", "val[:2]")
    scoring.main(
        [*given, "--weights", weights, "--side", "64", "--colour_weights", "3"]
    )
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["method"] for row in rows] == 3 * ["eigensegments"] + ["centre", "otsu"]
    assert {row.get("colour_weight") for row in rows} == {3.0, None}
    assert all(0 <= row["corloc"] <= 1 and row["pictures"] == 2 for row in rows)
    assert all("components" in row["true_boxes"] for row in rows)


def test_bad_options_are_refused(tmp_path, data_root):
    root = ("--root", str(data_root / "voc_mini"))
    with pytest.raises(SystemExit, match="features of nothing"):
        scoring.main([*root])
    with pytest.raises(SystemExit, match="one is below 0"):
        scoring.main([*root, "--weights", "a", "--colour_weights", "-1"])
    with pytest.raises(SystemExit, match="is missing|not there|no folder|does not"):
        scoring.main(["--root", str(tmp_path / "absent"), "--weights", "a"])
