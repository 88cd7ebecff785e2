import numpy as np
import pytest

from jaxseg.reporting import curves


def train(step, **values):
    return {"step": step, "split": "train", **values}


def val(step, name="val", **values):
    return {"step": step, "split": "val", "evaluation": name, **values}


def points(line):
    return [tuple(map(float, place.split(","))) for place in line.points.split()]


def test_scores_come_first_then_the_loss_its_parts_and_the_rate():
    lines = [
        line
        for step in (1, 2)
        for line in (
            train(step, contrast=2.0, learning_rate=0.1, loss=1.0, eta_seconds=4.0),
            val(step, pixel_accuracy=0.5, mean_iou=0.25, class_iou=[0.25]),
        )
    ]
    titles = [chart.title for chart in curves.charts(lines)]
    assert titles[:2] == ["mean IoU, %", "pixel accuracy, %"]
    assert titles[2:] == ["loss", "contrast", "learning rate"]


def test_a_curve_fills_its_chart():
    (chart,) = curves.charts([train(step, loss=4 - step) for step in (1, 2, 4)])
    x, y = np.transpose(points(chart.lines[0]))
    right, bottom = curves.WIDTH - curves.RIGHT, curves.HEIGHT - curves.BOTTOM
    assert x[-1] == right and y[-1] == bottom  # step 4 of 4, loss 0 of 0..3
    np.testing.assert_allclose(np.diff(x) / (right - curves.LEFT), [1 / 4, 2 / 4])
    np.testing.assert_allclose(np.diff(y) / (bottom - curves.TOP), [1 / 3, 2 / 3], 0.01)
    assert chart.lines[0].last == "0"


def test_every_evaluation_has_its_line():
    lines = [val(i, name, mean_iou=0.5) for name in ("val", "test") for i in (1, 2)]
    (chart,) = curves.charts(lines)
    assert [line.name for line in chart.lines] == ["val", "test"]


def test_of_a_step_scored_twice_the_last_counts():
    lines = [val(1, mean_iou=0.1), val(2, mean_iou=0.5), val(2, mean_iou=0.75)]
    (chart,) = curves.charts(lines)
    assert chart.lines[0].last == "75" and len(points(chart.lines[0])) == 2


def test_one_point_is_no_curve():
    assert curves.charts([train(1, loss=1.0), val(1, mean_iou=0.5)]) == []


def test_steps_are_whole_numbers():
    (chart,) = curves.charts([train(0, loss=1.0), train(1, loss=1.0)])
    assert [tick.text for tick in chart.x_ticks] == ["0", "1"]


def test_what_is_no_number_is_left_out():
    assert curves.charts([]) == []
    assert curves.charts([train(1, loss=None, note="x", flag=True)]) == []


def test_long_runs_are_thinned_and_end_as_they_ended():
    values = {step: float(step % 2) for step in range(10_001)}
    x, y = curves.thinned(values)
    assert len(x) == curves.MOST_POINTS and (x[-1], y[-1]) == (10_000, 0)
    assert y[:-1].mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0, 700, [0, 200, 400, 600, 800]),
        (0.31, 0.58, [0.3, 0.4, 0.5, 0.6]),
        (0, 0, [0, 0.5]),
        (3, 3, [3, 4]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_are_round_and_hold_the_values(low, high, expected):
    np.testing.assert_allclose(curves.ticks(low, high), expected)


@pytest.mark.parametrize(
    "value, written",
    [(0, "0"), (0.30000000000000004, "0.3"), (2e-5, "2e-5"), (160_000, "1.6e5")],
)
def test_numbers_are_short(value, written):
    assert curves.number(value) == written


def test_there_is_a_bound_on_charts():
    many = {f"loss_{i}": 1.0 for i in range(40)}
    lines = [train(step, **many) for step in (1, 2)]
    assert len(curves.charts(lines)) == curves.MOST_CHARTS
