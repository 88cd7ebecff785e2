"""Measures meet by class name, and their correlations are those of known numbers."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxseg.config import ConfigError
from jaxseg.data import splits
from jaxseg.data.labels import VOC
from jaxseg.tools.shape_and_language import (
    analyse,
    correlation,
    gains,
    main,
    read_scores,
    table,
)
from tests.data.test_image_labels import Masks

CLASSES = VOC.names[1:]


@pytest.fixture
def embeddings(tmp_path):
    """Stored embeddings of VOC's classes, random ones, of an unnamed model."""
    path = tmp_path / "rows.npz"
    rows = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    np.savez(path, names=CLASSES, prompts=CLASSES, embeddings=rows)
    return str(path)


class Squares:
    """Class c is one square of side 4, and a rod of c pixels in another picture."""

    labels = VOC

    def source(self, split):
        assert split == "train"
        masks = []
        for c in range(1, 21):
            square = np.zeros((6, 24), np.uint8)
            square[1:5, 1:5] = c
            rod = np.zeros((6, 24), np.uint8)
            rod[2, 1 : 1 + c] = c
            masks += [square, rod]
        return Masks(*masks)


def write_run(folder, values, *, key="class_fold_iou", evaluation="val"):
    """A work folder that scores some of VOC's classes, by name."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"id2label": VOC.id2label}))
    row = [values.get(name) for name in VOC.names]
    first = {"step": 1, "split": "val", "evaluation": evaluation, key: [0.0] * 21}
    last = first | {"step": 2, key: row}
    lines = [first, last, {"step": 2, "split": "train", "loss": 1.0}]
    with open(folder / "metrics.jsonl", "a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return str(folder)


def test_classes_have_the_mean_of_their_regions(embeddings):
    given = dict(benchmark="pascal5i", embeddings=embeddings, min_pixels=10)
    rows = analyse(Squares(), **given)["classes"]
    assert [row["name"] for row in rows] == list(CLASSES)
    by_name = {row["name"]: row for row in rows}
    assert by_name["bird"]["regions"] == 1
    assert by_name["bird"]["compactness"] == pytest.approx(np.pi / 4)
    train = CLASSES.index("train") + 1
    rod = 4 * np.pi * train / (2 * train + 2) ** 2
    assert by_name["train"]["compactness"] == pytest.approx((np.pi / 4 + rod) / 2)
    assert [row["fold"] for row in rows] == [i for i in range(4) for _ in range(5)]


def test_gains_are_those_of_the_same_classes(embeddings, tmp_path):
    plain = write_run(tmp_path / "plain", {"cat": 0.2, "car": 0.5})
    again = write_run(tmp_path / "again", {"cat": 0.4, "dog": 0.1})
    shape = write_run(tmp_path / "shape", {"cat": 0.6, "car": 0.4, "bus": 0.9})
    without = [read_scores(path) for path in (plain, f"{again}/metrics.jsonl")]
    found = gains(without, [read_scores(shape)])
    assert found == pytest.approx({"cat": 0.3, "car": -0.1})
    given = dict(benchmark="pascal5i", embeddings=embeddings)
    result = analyse(Squares(), **given, gained=found)
    gained = {row["name"]: row["gain"] for row in result["classes"]}
    assert gained["cat"] == pytest.approx(0.3) and np.isnan(gained["dog"])
    assert result["folds"][1]["gain"] == pytest.approx(0.1)
    assert result["correlations"]["locality and gain"]["n"] == 2
    assert "| cat | 1 | 0 | - |" in table(result)


def test_correlations_by_hand():
    found = correlation([1, 2, 3, 4, np.nan], [1, 4, 9, 16, 0])
    expected = np.corrcoef([1, 2, 3, 4], [1, 4, 9, 16])[0, 1]
    assert found == pytest.approx({"pearson": expected, "spearman": 1, "n": 4})
    for few in (([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([], [])):
        assert np.isnan(correlation(*few)["pearson"])


def test_the_command_writes_table_and_picture(data_root, tmp_path, capsys):
    rng = np.random.default_rng(0)
    folders = {}
    for kind in ("plain", "shape"):
        runs = []
        for fold in (0, 3):
            held = splits.fold("pascal5i", fold)
            values = dict(zip(held, rng.random(5).tolist(), strict=True))
            runs.append(write_run(tmp_path / f"{kind}{fold}", values))
        folders[kind] = ",".join(runs)
    out = tmp_path / "out"
    rows = "$JAXSEG_DATA/clip_text/voc21_vitb16_photo.npz"
    where = ("--root", "$JAXSEG_DATA/voc_mini", "--split", "val")
    runs = ("--without", folders["plain"], "--with", folders["shape"])
    given = (*where, "--embeddings", rows, "--out", str(out), *runs)
    assert main(given) == 0
    assert "| compactness and gain |" in capsys.readouterr().out
    result = json.loads((out / "shape_and_language.json").read_text())
    assert result["correlations"]["compactness and gain"]["n"] == 10
    folds = [fold["locality"] for fold in result["folds"]]
    np.testing.assert_allclose(folds, [0.862, 0.872, 0.871, 0.827], atol=0.002)
    assert result["folds"][1]["gain"] is None
    assert Image.open(out / "shape_and_language.png").size[0] == 1500


def test_rules_of_fusion_are_compared_within_a_run(tmp_path):
    run = write_run(tmp_path / "run", {"cat": 0.5})
    rules = {
        rule: {"class_fold_iou": [np.nan, value] + [np.nan] * 19}
        for rule, value in (("none", 0.25), ("label_free", 0.75))
    }
    (tmp_path / "run" / "fusion.json").write_text(json.dumps({"scores": rules}))
    found = [[read_scores(f"{run}:{rule}")] for rule in rules]
    assert gains(*found) == {"aeroplane": 0.5}
    with pytest.raises(ConfigError, match="of the rule 'orcale'.*label_free, none"):
        read_scores(f"{run}:orcale")
    other = write_run(tmp_path / "other", {"cat": 0.5})
    with pytest.raises(ConfigError, match="jaxseg.tools.score_fusion --workdir"):
        read_scores(f"{other}:none")


def test_scores_that_are_not_there_are_asked_for(tmp_path):
    with pytest.raises(ConfigError, match="no work folder"):
        read_scores(str(tmp_path))
    run = write_run(tmp_path / "run", {}, key="class_iou")
    with pytest.raises(ConfigError, match="no 'class_fold_iou'.*fold.FoldIoU"):
        read_scores(run)
    with pytest.raises(ConfigError, match="in the evaluation 'vall'.*mean 'val'"):
        read_scores(run, score="class_iou", evaluation="vall")
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        line = {"step": 2, "split": "val", "evaluation": "oracle", "class_iou": []}
        file.write(json.dumps(line) + "\n")
    with pytest.raises(ConfigError, match="choose one by --evaluation: oracle, val"):
        read_scores(run, score="class_iou")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--without", "a"), "given together"),
        (("--without", "a", "--with", "b"), "a is no work folder"),
        (("--embeddings", "none.npz"), "no file of CLIP embeddings"),
        (("--root", "nowhere"), "nowhere"),
        (("--benchmark", "coco20i"), "no class is called"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, capsys, arguments, message, embeddings):
    out = str(tmp_path / "out")
    given = ("--root", str(tmp_path), "--out", out, "--embeddings", embeddings)
    assert main((*given, *arguments)) == 1
    assert message in capsys.readouterr().err


def test_classes_in_common_are_needed():
    with pytest.raises(ConfigError, match="no class is scored by .*: cat and dog"):
        gains([{"cat": 0.1}], [{"dog": 0.1}])
