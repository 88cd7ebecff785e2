"""The published VOC networks, scored as `configs/deeplabv3_voc_mini.py` says."""

import importlib.util
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxseg import evaluate

FILE = pathlib.Path(__file__).parents[1] / "configs" / "deeplabv3_voc_mini.py"


@pytest.fixture
def scores(data_root, monkeypatch, tmp_path):
    """A function: the scores of a variant on a folder, from its file of weights."""
    monkeypatch.setenv("JAXSEG_DATA", str(data_root))
    spec = importlib.util.spec_from_file_location("config", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(variant, **data):
        config = module.get_config(variant)
        config.data.update(data)
        config.num_devices = 1
        config.every.pictures = 0
        return evaluate.run(config.to_dict(), str(tmp_path / "run"))["val"]

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant, mean_iou, pixel_accuracy",
    [("", 0.7292, 0.9381), ("dm05", 0.6997, 0.9332)],
)
def test_scores_are_the_published_ones(scores, variant, mean_iou, pixel_accuracy):
    found = scores(variant)
    assert found["mean_iou"] == pytest.approx(mean_iou, abs=1e-3)
    assert found["pixel_accuracy"] == pytest.approx(pixel_accuracy, abs=5e-4)


def test_photographs_of_several_sizes_are_scored_on_their_own_pixels(
    scores, data_root, tmp_path
):
    source, few = data_root / "voc_mini", tmp_path / "few"
    names = (source / "val" / "list.txt").read_text().split()[:4]
    for folder, suffix in (("images", ".jpg"), ("masks", ".png")):
        (few / "val" / folder).mkdir(parents=True)
        for name in names:
            file = f"{name}{suffix}"
            shutil.copy(source / "val" / folder / file, few / "val" / folder / file)
    found = scores("dm05", root=str(few))
    masks = [np.asarray(Image.open(file)) for file in (few / "val/masks").iterdir()]
    assert len({mask.shape for mask in masks}) > 1
    counts = sum(np.bincount(mask.ravel(), minlength=256) for mask in masks)[:21]
    np.testing.assert_allclose(found["class_share"], counts / counts.sum(), rtol=1e-6)
    assert found["pixel_accuracy"] > 0.9
