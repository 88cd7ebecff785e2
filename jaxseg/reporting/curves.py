"""The curves of a run as lines to draw: read `charts` first.

Every chart is computed in its own coordinates, `WIDTH` x `HEIGHT` with y downwards, so
that a template only writes them down.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

WIDTH, HEIGHT = 320, 170
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 22  # around the plot: room for the ticks
MOST_POINTS = 200  # of a line; more are averaged
MOST_CHARTS = 24

# Of a log line, what is not drawn: it follows from what is, or says little over time.
NOT_DRAWN = (
    "step",
    "seconds_per_step",
    "data_seconds_per_step",
    "eta_seconds",
    "peak_memory_bytes",
)
OF_EVALUATIONS = ("mean_iou", "harmonic_iou", "pixel_accuracy")


class Tick(NamedTuple):
    """A place on an axis, in the chart's coordinates, and what is written there."""

    place: float
    text: str


class Line(NamedTuple):
    """A curve: name, "x,y x,y ...", its last point and the value there as text."""

    name: str
    points: str
    end: tuple[float, float]
    last: str


class Chart(NamedTuple):
    """Curves of one quantity over the steps."""

    title: str
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def charts(lines: Iterable[Mapping[str, Any]]) -> list[Chart]:
    """Draws the scores of evaluations, then losses, learning rate and speed.

    Args:
        lines: of metrics.jsonl, in any order; values that are not numbers are left out.

    Returns:
        at most `MOST_CHARTS`; none of what was measured at one step only. A chart of
        scores has a line for each evaluation, all others have one.
    """
    found: dict[str, dict[str, dict[int, float]]] = {}
    for line in lines:
        evaluation = line.get("evaluation", "")
        for name, value in line.items():
            if not _is_drawn(name, value, evaluation):
                continue
            title = _title(name, evaluation)
            curve = found.setdefault(title, {}).setdefault(evaluation, {})
            # Of one step the last line counts: it was evaluated again.
            curve[line["step"]] = 100 * value if evaluation else value
    moving = {
        name: curves
        for name, curves in found.items()
        if any(len(values) > 1 for values in curves.values())
    }
    ordered = sorted(moving.items(), key=lambda item: _place(item[0]))
    return [_chart(title, curves) for title, curves in ordered[:MOST_CHARTS]]


def ticks(low: float, high: float, *, count: int = 4) -> list[float]:
    """Chooses about `count` round numbers that hold [low, high] between them.

    Args:
        low: the smallest value.
        high: the largest; if it is the same, there is one step around it.
        count: of intervals, about.

    Returns:
        multiples of 1, 2 or 5 times a power of ten, in order.
    """
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= span / count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def thinned(values: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
    """Sorts points by step and averages neighbours down to `MOST_POINTS`.

    The last point is kept as it is.

    Args:
        values: by step, at least one.

    Returns:
        steps and values, float64 [n] each.
    """
    points = np.array(sorted(values.items()), np.float64)
    if len(points) > MOST_POINTS:
        groups = np.array_split(points[:-1], MOST_POINTS - 1)
        points = np.stack([*(group.mean(axis=0) for group in groups), points[-1]])
    return points[:, 0], points[:, 1]


def number(value: float) -> str:
    """Writes a number for an axis in few characters."""
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.4g}"


def _is_drawn(name: str, value: Any, evaluation: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return name in OF_EVALUATIONS if evaluation else name not in NOT_DRAWN


def _title(name: str, evaluation: str) -> str:
    words = name.replace("_", " ").replace("iou", "IoU")
    return f"{words}, %" if evaluation else words


def _place(title: str) -> tuple[int, str]:
    """Scores first, then the loss and its parts, what only explains them last."""
    early = [*(_title(name, "any") for name in OF_EVALUATIONS), "loss"]
    late = ["learning rate", "images per second", "skipped pictures", "restarts"]
    if title in late:
        return len(early) + 1 + late.index(title), title
    return early.index(title) if title in early else len(early), title


def _chart(title: str, curves: Mapping[str, Mapping[int, float]]) -> Chart:
    drawn = {name: thinned(values) for name, values in curves.items()}
    steps = np.concatenate([x for x, _ in drawn.values()])
    values = np.concatenate([y for _, y in drawn.values()])
    x_places, y_places = ticks(0, steps.max()), ticks(values.min(), values.max())

    def across(step):
        return LEFT + (WIDTH - LEFT - RIGHT) * _share(step, x_places)

    def down(value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _share(value, y_places)

    return Chart(
        title,
        [_line(name, across(x), down(y), y[-1]) for name, (x, y) in drawn.items()],
        [Tick(round(across(x), 1), number(x)) for x in x_places if x == int(x)],
        [Tick(round(down(y), 1), number(y)) for y in y_places],
    )


def _share(value: Any, places: Sequence[float]) -> Any:
    return (value - places[0]) / (places[-1] - places[0])


def _line(name: str, x: np.ndarray, y: np.ndarray, last: float) -> Line:
    places = [f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True)]
    end = round(float(x[-1]), 1), round(float(y[-1]), 1)
    return Line(name, " ".join(places), end, number(float(last)))
