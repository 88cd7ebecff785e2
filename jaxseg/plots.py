"""Curves, points and heat maps as pictures: `curves`, `clouds`, `heat_maps`, others.

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


def real_and_generated(
    places: np.ndarray,
    ids: np.ndarray,
    generated: np.ndarray,
    labels: LabelSet,
    *,
    title: str = "",
) -> np.ndarray:
    """Draws real points as dots and generated ones as crosses, in colours of classes.

    Seen and unseen classes have a plot each, on the same axes, with the others' real
    points in grey behind; without unseen classes there is one.

    Args:
        places: [N, 2], as of t-SNE of all points together.
        ids: [N] class ids.
        generated: bool [N].
        labels: the classes.
        title: of how the places were found.

    Returns:
        [H, W, 3] uint8, with a legend of the classes that there are.

    Raises:
        ValueError: if places, ids and kinds do not fit each other.
    """
    if not np.shape(places) == (len(ids), 2) == (len(generated), 2):
        raise ValueError(
            f"need places [N, 2], ids [N] and generated [N], got {np.shape(places)}, "
            f"{np.shape(ids)} and {np.shape(generated)}"
        )
    groups = {"seen": labels.seen, "unseen": labels.unseen}
    if not labels.unseen:
        groups = {"classes": tuple(range(labels.num_classes))}
    figure, plots = _sheet(len(groups), side=5.0)
    colours = np.array([f"#{bytes(rgb).hex()}" for rgb in labels.palette])
    for plot, (name, classes) in zip(plots, groups.items(), strict=True):
        inside = np.isin(ids, classes)
        plot.scatter(*places[~inside & ~generated].T, s=4, c="#dddddd", linewidths=0)
        for kind, marker, width in ((False, "o", 0), (True, "x", 0.8)):
            chosen = inside & (generated == kind)
            shown = dict(marker=marker, linewidths=width, s=12, c=colours[ids[chosen]])
            plot.scatter(*places[chosen].T, **shown)
        plot.set(title=name, xticks=[], yticks=[])
        plot.set_xlim(*_range(places[:, 0]))
        plot.set_ylim(*_range(places[:, 1]))
    unseen = {c: " (unseen)" for c in labels.unseen}
    handles = [
        _dot(colours[c], labels.names[c] + unseen.get(c, "")) for c in np.unique(ids)
    ]
    handles += [_dot("grey", "real"), _dot("grey", "generated", marker="x")]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8)
    figure.suptitle(title, fontsize=10)
    return _render(figure)


def heat_maps(
    images: Sequence[np.ndarray], maps: Sequence[np.ndarray], *, name: str
) -> np.ndarray:
    """Draws image | heat, a row per example, with one scale of colours for all.

    Args:
        images: uint8 [H, W, 3] each; sizes may differ.
        maps: float [h, w] each, of any size, of the whole image; NaN is left grey.
        name: of the quantity, at the bar of colours.

    Returns:
        [H', W', 3] uint8.
    """
    from matplotlib.figure import Figure

    finite = np.concatenate([x[np.isfinite(x)] for x in maps])
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    heights = [WIDTH * image.shape[0] / image.shape[1] for image in images]
    figure = Figure((2.2 * WIDTH, sum(heights)), DOTS, layout="constrained")
    rows = figure.subplots(len(images), 2, squeeze=False, height_ratios=heights)
    for (left, right), image, values in zip(rows, images, maps, strict=True):
        height, width = image.shape[:2]
        left.imshow(image)
        right.set_facecolor("#cccccc")
        extent = (0, width, height, 0)
        shown = right.imshow(values, vmin=low, vmax=high, cmap="inferno", extent=extent)
        for plot in (left, right):
            plot.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=list(rows[:, 1]), label=name)
    return _render(figure)


def named_points(
    points: Mapping[str, tuple[str, str, Mapping[str, tuple[float, float]]]],
) -> np.ndarray:
    """Draws points with their names, a plot for each set, as classes by two measures.

    Args:
        points: by title, what is measured along x and along y, and the two numbers by
            name.

    Returns:
        [H, W, 3] uint8.
    """
    figure, plots = _sheet(len(points), side=5.0)
    for plot, (title, (x, y, places)) in zip(plots, points.items(), strict=True):
        for name, place in places.items():
            plot.plot(*place, "o", markersize=4, color="C0")
            offset = dict(xytext=(3, 3), textcoords="offset points", fontsize=7)
            plot.annotate(name, place, **offset)
        plot.set_title(title, fontsize=9)
        plot.set(xlabel=x, ylabel=y)
        plot.margins(0.15)  # names stand at the right of their points
        plot.grid(alpha=0.3)
    return _render(figure)


def _range(values: np.ndarray) -> tuple[float, float]:
    """The limits of an axis with a little room; (-1, 1) of no points."""
    if not values.size:
        return -1.0, 1.0
    room = 0.03 * (values.max() - values.min()) or 1.0
    return float(values.min() - room), float(values.max() + room)


def _points(lines: Sequence[Mapping[str, Any]], name: str) -> dict[int, float]:
    """Values by step; None is what was not finite."""
    values = {x["step"]: x[name] for x in lines if x.get(name) is not None}
    return dict(sorted(values.items()))


def _sheet(count: int, *, side: float = 0.0) -> tuple[Any, Any]:
    """A figure of so many plots in a row, square ones of a side if that is given."""
    from matplotlib.figure import Figure

    width, height = (side, side) if side else (WIDTH, HEIGHT)
    figure = Figure((max(count, 1) * width, height), DOTS, layout="constrained")
    plots = figure.subplots(1, count, squeeze=False)[0] if count else []
    return figure, plots


def _dot(colour: str, name: str, *, marker: str = "o") -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker=marker, color=colour, label=name)


def _render(figure: Any) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
