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


def cloud():
    places = np.random.default_rng(0).normal(size=(60, 2))
    return places, np.tile([0, 1, 2], 20), np.repeat([False, True], 30)


def test_seen_and_unseen_classes_have_a_plot_each():
    labels = LABELS.with_unseen(["tree"])
    picture = plots.real_and_generated(*cloud(), labels, title="t-SNE")
    middle = picture.shape[1] // 2
    assert holds(picture[:, :middle], (255, 0, 0))
    assert not holds(picture[:400, middle:], (255, 0, 0))
    assert not holds(picture[:400, :middle], (0, 0, 255))
    assert holds(picture[:400, middle:], (0, 0, 255))


def test_without_unseen_classes_all_share_a_plot():
    one = plots.real_and_generated(*cloud(), LABELS)
    two = plots.real_and_generated(*cloud(), LABELS.with_unseen(["tree"]))
    assert two.shape[1] == 2 * one.shape[1]
    assert all(holds(one, colour) for colour in LABELS.palette)


def test_generated_points_are_not_drawn_as_real_ones():
    at, ids = np.array([[0.0, 0.0], [1, 1]]), np.zeros(2, int)
    full = [
        (plots.real_and_generated(at, ids, kind, LABELS)[:440] == (255, 0, 0)).all(-1)
        for kind in (np.zeros(2, bool), np.ones(2, bool))
    ]
    # A cross has fewer pixels in its full colour than a dot.
    assert 0 < 2 * full[1].sum() < full[0].sum()


def test_points_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"\(60, 2\), \(59,\) and \(60,\)"):
        places, ids, generated = cloud()
        plots.real_and_generated(places, ids[:-1], generated, LABELS)


def test_heat_maps_share_one_scale_and_leave_what_is_not_known_grey():
    images = [np.full((20, 20, 3), 100, np.uint8)] * 2
    maps = [np.zeros((2, 2)), np.array([[np.nan, 1.0], [1.0, 1.0]])]
    picture = plots.heat_maps(images, maps, name="error")
    lowest, highest = (0, 0, 3), (252, 254, 164)  # of inferno
    top, below = np.split(picture[: len(picture) // 2 * 2], 2)
    maps_only = slice(picture.shape[1] // 2, int(picture.shape[1] * 0.75))
    assert holds(top[:, maps_only], lowest) and not holds(top[:, maps_only], highest)
    assert holds(below[:, maps_only], highest)
    assert holds(below[:, maps_only], (204, 204, 204))


def test_heat_maps_of_nothing_known_are_drawn():
    image = np.zeros((4, 6, 3), np.uint8)
    picture = plots.heat_maps([image], [np.full((2, 3), np.nan)], name="error")
    assert holds(picture, (204, 204, 204))


def test_named_points_have_a_plot_a_set():
    points = {"cat": (0.1, 0.2), "dog": (0.3, 0.4)}
    one = plots.named_points({"first": ("width", "height", points)})
    two = plots.named_points({k: ("x", "y", points) for k in ("first", "second")})
    assert two.shape[1] == 2 * one.shape[1] and one.dtype == np.uint8
    empty = plots.named_points({"first": ("width", "height", {})})
    assert (one != empty).any()
