import builtins

import numpy as np
import pytest

from jaxseg import plots
from jaxseg.data.labels import LabelSet

LABELS = LabelSet(("sky", "road", "tree"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
PLOT = int(plots.WIDTH * plots.DOTS)


def holds(picture, colour):
    return bool((picture == colour).all(axis=-1).any())


def test_every_quantity_that_a_run_has_gets_a_plot():
    lines = [
        {"step": 1, "split": "train", "loss": 2.0, "contrast": 0.0},
        {"step": 2, "split": "train", "loss": None, "contrast": 1.0},
        {"step": 2, "split": "val", "mean_iou": 0.3},
    ]
    picture = plots.curves(lines)
    assert picture.dtype == np.uint8
    assert picture.shape == (plots.HEIGHT * plots.DOTS, 3 * PLOT, 3)
    assert plots.curves(lines, names=("loss",)).shape[1] == PLOT


def test_a_run_that_has_logged_nothing_is_an_empty_sheet():
    assert (plots.curves([]) == 255).all()


def test_of_one_step_the_last_line_counts():
    lines = [{"step": 2, "loss": 5.0}, {"step": 1, "loss": 1.0}, {"step": 2, "loss": 3}]
    assert plots._points(lines, "loss") == {1: 1.0, 2: 3}


def test_points_have_the_colours_of_their_classes():
    cloud = np.random.default_rng(0).normal(size=(40, 2)), np.repeat([0, 2], 20)
    picture = plots.clouds({"one": cloud, "other": cloud}, LABELS)
    assert picture.shape[1] == 2 * PLOT
    assert holds(picture, (255, 0, 0)) and holds(picture, (0, 0, 255))
    assert not holds(picture, (0, 255, 0))


def test_places_without_a_class_are_named():
    with pytest.raises(ValueError, match=r"'one'.*\(3, 2\) and \(4,\)"):
        plots.clouds({"one": (np.zeros((3, 2)), np.zeros(4, int))}, LABELS)


def test_without_matplotlib_only_drawing_fails(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ModuleNotFoundError, match="matplotlib"):
        plots.curves([])
