"""Curves and clouds of points as pictures, for notebooks: `curves`, `clouds`.

Drawn by matplotlib, which is imported when something is drawn (extra `[notebook]`), and
returned as uint8 RGB like all other pictures: no window, no state, any thread.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxseg.data.labels import LabelSet

SHOWN = ("loss", "cross_entropy", "contrast", "mean_iou")
WIDTH, HEIGHT = 4.0, 3.0  # of one plot, in inches
DOTS = 100  # an inch


def curves(
    lines: Iterable[Mapping[str, Any]], *, names: Sequence[str] = SHOWN
) -> np.ndarray:
    """Draws what a run has logged so far over its steps, a plot for each quantity.

    Args:
        lines: of metrics.jsonl; of one step the last counts.
        names: what to draw; what the run has not is left out.

    Returns:
        [H, W, 3] uint8; an empty sheet if nothing is there yet.
    """
    lines = list(lines)
    found = {name: _points(lines, name) for name in names}
    found = {name: points for name, points in found.items() if points}
    figure, plots = _sheet(len(found))
    for plot, (name, points) in zip(plots, found.items(), strict=True):
        plot.plot(list(points), list(points.values()), marker="o", markersize=3)
        plot.set_title(name.replace("_", " ").replace("iou", "IoU"))
        plot.set_xlabel("step")
        plot.grid(alpha=0.3)
    return _render(figure)


def clouds(
    points: Mapping[str, tuple[np.ndarray, np.ndarray]], labels: LabelSet
) -> np.ndarray:
    """Draws clouds of points in the colours of their classes, beside each other.

    Args:
        points: by title, places [N, 2] and class ids [N], as of t-SNE.
        labels: the classes.

    Returns:
        [H, W, 3] uint8, with one legend of the classes that there are.

    Raises:
        ValueError: if places and ids do not fit each other.
    """
    for title, (places, ids) in points.items():
        if np.shape(places) != (len(ids), 2):
            raise ValueError(
                f"{title!r}: need places [N, 2] and ids [N], got {np.shape(places)} "
                f"and {np.shape(ids)}"
            )
    figure, plots = _sheet(len(points))
    colours = [f"#{bytes(rgb).hex()}" for rgb in labels.palette]
    for plot, (title, (places, ids)) in zip(plots, points.items(), strict=True):
        plot.scatter(
            *np.asarray(places).T, s=6, c=[colours[c] for c in ids], linewidths=0
        )
        plot.set_title(title, fontsize=9)
        plot.set_xticks([])
        plot.set_yticks([])
    present = np.unique(np.concatenate([ids for _, ids in points.values()]))
    handles = [_dot(colours[c], labels.names[c]) for c in present]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8)
    return _render(figure)


def _points(lines: Sequence[Mapping[str, Any]], name: str) -> dict[int, float]:
    """Values by step; None is what was not finite."""
    values = {x["step"]: x[name] for x in lines if x.get(name) is not None}
    return dict(sorted(values.items()))


def _sheet(count: int) -> tuple[Any, Any]:
    """A figure of so many plots in a row."""
    from matplotlib.figure import Figure

    figure = Figure((max(count, 1) * WIDTH, HEIGHT), DOTS, layout="constrained")
    plots = figure.subplots(1, count, squeeze=False)[0] if count else []
    return figure, plots


def _dot(colour: str, name: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker="o", color=colour, label=name)


def _render(figure: Any) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
