"""Lines and tables that people read: the log line of a step, the table of classes."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxseg.data.labels import LabelSet


def log_line(
    *,
    step: int,
    total_steps: int | None,
    means: Mapping[str, float],
    timing: Mapping[str, float],
    memory: int,
    extra: Mapping[str, float] | None = None,
) -> str:
    """Writes the line of a training step.

    step 50/700  lr 1.0e-02  loss 0.512  0.412 s/step (data 0.003)  19.4 img/s
    mem 8.1 GB  eta 1:02:11 (in one line)

    Args:
        step: steps done.
        total_steps: of the run, if known.
        means: metrics by name; `learning_rate`, shown as lr, and `loss` come first.
        timing: seconds_per_step, data_seconds_per_step, images_per_second, eta_seconds.
        memory: peak bytes; 0 is left out.
        extra: counts that are shown unless they are 0.
    """
    parts = [f"step {step}/{total_steps}" if total_steps else f"step {step}"]
    # A step's metrics come back sorted by name; the loss is what one looks for.
    for name, value in sorted(means.items(), key=lambda item: _place(item[0])):
        short = f"lr {value:.1e}" if name == "learning_rate" else f"{name} {value:.4g}"
        parts.append(short)
    parts.append(
        f"{timing['seconds_per_step']:.3f} s/step "
        f"(data {timing['data_seconds_per_step']:.3f})"
    )
    parts.append(f"{timing['images_per_second']:.1f} img/s")
    if memory:
        parts.append(f"mem {memory / 1e9:.1f} GB")
    parts.append(f"eta {duration(timing['eta_seconds'])}")
    parts += [
        f"{name.replace('_', ' ')} {value:g}"
        for name, value in (extra or {}).items()
        if value
    ]
    return "  ".join(parts)


def _place(name: str) -> int:
    return {"learning_rate": 0, "loss": 1}.get(name, 2)


def duration(seconds: float) -> str:
    """Writes seconds as H:MM:SS, or as M:SS below an hour."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def class_table(scores: Mapping[str, Any], labels: LabelSet) -> str:
    """Writes IoU, accuracy and share of pixels of every class, in per cent.

    The last line has pixel accuracy, mean IoU and mean accuracy as the field names
    them: aAcc, mIoU, mAcc. Plain text, so that log and console show the same.

    Args:
        scores: of `metrics.iou.scores`.
        labels: the classes.
    """
    columns = ("class_iou", "class_accuracy", "class_share")
    rows = [("class", "IoU", "accuracy", "pixels")]
    for name, *values in zip(
        labels.names, *(scores[column] for column in columns), strict=True
    ):
        rows.append((name, *(percent(value) for value in values)))
    width = max(len(row[0]) for row in rows)
    lines = [f"{a:<{width}}  {b:>8}  {c:>8}  {d:>8}" for a, b, c, d in rows]
    if labels.seen:
        classes = range(labels.num_classes)
        groups = ("seen" if i in labels.seen else "unseen" for i in classes)
        column = ("group", *groups)
        lines = [f"{x}  {group:<6}" for x, group in zip(lines, column, strict=True)]
    rule = "-" * len(lines[0])
    summary = [
        f"{short} {percent(scores[name])}"
        for short, name in (
            ("aAcc", "pixel_accuracy"),
            ("mIoU", "mean_iou"),
            ("mAcc", "mean_accuracy"),
        )
    ]
    zero_shot = [
        f"{name.removesuffix('_iou')} IoU {percent(scores[name])}"
        for name in ("seen_iou", "unseen_iou", "harmonic_iou")
        if name in scores
    ]
    body = [lines[0], rule, *lines[1:], rule]
    if zero_shot:
        body.append("  ".join(zero_shot))
    return "\n".join([*body, "  ".join(summary)])


def percent(value: float) -> str:
    """Writes a fraction in per cent with two decimals; "-" if it is undefined."""
    return "-" if np.isnan(value) else f"{100 * value:.2f}"
