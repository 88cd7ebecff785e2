"""One run's voice: `Report` brings log, progress, metrics and pictures together."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging

from jaxseg import visualize
from jaxseg.data.labels import LabelSet
from jaxseg.reporting import page, records, tensorboard
from jaxseg.reporting.metrics_file import MetricsFile
from jaxseg.reporting.progress import Part, Progress
from jaxseg.reporting.scored import ScoredPicture
from jaxseg.reporting.text import class_table, log_line

DATA_IS_THE_LIMIT = 0.2  # share of a step spent waiting for data


class Report:
    """Writes what a run has to say; a context manager.

    Every process may call every method; those that are not the first write nothing.

    Args:
        workdir: of the run.
        is_main: whether this is the first process.
        total_steps: of a training run, None for an evaluation alone.
        profile_at: the step from which a few steps are traced; 0 for none.
        part: which part of a longer work the run is; None for one by itself.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        *,
        is_main: bool,
        total_steps: int | None = None,
        profile_at: int = 0,
        part: Part | None = None,
    ):
        self._workdir = workdir
        self._is_main = is_main
        self._total_steps = total_steps
        self._profile_at = profile_at
        self._part = part
        self._metrics = MetricsFile(workdir) if is_main else None
        self._writer = tensorboard.create_writer(workdir, is_main=is_main)
        self._progress: Progress | None = None
        self._actions: list[Any] = []
        self._told_of_data = False

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *error: Any) -> None:
        if self._progress is not None:
            self._progress.close()
        self._writer.close()

    def start(self, step: int, params: Any) -> None:
        """Begins training, or goes on: later lines of metrics.jsonl are removed.

        Args:
            step: steps done before.
            params: all parameters, for `parameters.txt`.
        """
        if self._metrics is None or self._total_steps is None:
            return
        self._metrics.rewind(step)
        self._actions = tensorboard.periodic_actions(
            self._workdir,
            self._writer,
            total_steps=self._total_steps,
            profile_at=self._profile_at,
        )
        self._describe(params)
        if step:
            logging.info("going on after step %d of %d", step, self._total_steps)
        self._progress = Progress(self._total_steps, step, part=self._part)

    def step(self, step: int) -> None:
        """Moves the progress bar; to be called after every step."""
        if self._progress is not None:
            self._progress.update(step)
        for action in self._actions:
            action(step)

    def training(
        self,
        step: int,
        means: Mapping[str, float],
        timing: Mapping[str, float],
        extra: Mapping[str, float] | None = None,
    ) -> None:
        """Reports the steps since the last call.

        Args:
            step: steps done.
            means: metrics by name, `learning_rate` among them.
            timing: seconds_per_step, data_seconds_per_step, images_per_second,
                eta_seconds.
            extra: counts, such as skipped_pictures, how often one was met since the
                start of this process.
        """
        if self._metrics is None:
            return
        memory = peak_memory()
        line = log_line(
            step=step,
            total_steps=self._total_steps,
            means=means,
            timing=timing,
            memory=memory,
            extra=extra,
        )
        self._log(self._progress.placed(step, line) if self._progress else line)
        values = {**means, **timing, **(extra or {}), "peak_memory_bytes": memory}
        self._metrics.write(step, "train", values)
        self._writer.write_scalars(step, {f"train/{k}": v for k, v in values.items()})
        self._warn_of_data(timing)

    def scores(
        self,
        step: int,
        name: str,
        scores: Mapping[str, Any],
        labels: LabelSet,
        *,
        split: str,
        metrics: Sequence[str] | None = None,
        confusion: np.ndarray | None = None,
        worst: Sequence[ScoredPicture] = (),
        best: Sequence[ScoredPicture] = (),
    ) -> None:
        """Reports an evaluation: table of classes, a line, TensorBoard, `report.html`.

        Args:
            step: of the state that was scored.
            name: of the evaluation, in the config.
            scores: of `metrics.iou.scores`.
            labels: the classes.
            split: what was scored; `metrics.jsonl` records it, and the name too.
            metrics: the numbers for TensorBoard; all if None. The table in the log and
                `metrics.jsonl` do not depend on it.
            confusion: integer [C, C], rows truth.
            worst: the pictures with the lowest scores, the worst first.
            best: those with the highest, the best first.

        Raises:
            ValueError: if `metrics` names one that is not there.
        """
        numbers = {k: v for k, v in scores.items() if np.ndim(v) == 0}
        shown = numbers if metrics is None else _select(numbers, metrics)
        if self._metrics is None:
            return
        skipped = numbers.get("skipped_pictures", 0)
        note = f", {skipped} unreadable pictures left out" if skipped else ""
        self._log(f"{name} at step {step}{note}:\n{class_table(scores, labels)}")
        self._metrics.write(step, split, {"evaluation": name, **scores})
        finite = {f"{name}/{k}": v for k, v in shown.items() if np.isfinite(v)}
        self._writer.write_scalars(step, finite)
        self._writer.flush()
        records.write(
            self._workdir,
            step=step,
            name=name,
            split=split,
            scores=scores,
            labels=labels,
            confusion=confusion,
            worst=worst,
            best=best,
        )
        page.write(self._workdir)

    def pictures(self, step: int, name: str, pictures: Sequence[np.ndarray]) -> None:
        """Writes pictures, uint8 [H, W, 3] each, to `pictures/` and TensorBoard."""
        if not self._is_main:
            return
        folder = os.path.join(self._workdir, "pictures")
        os.makedirs(folder, exist_ok=True)
        for i, picture in enumerate(pictures):
            path = os.path.join(folder, f"{name}_{step:07}_{i}.png")
            visualize.save_picture(path, picture)
            self._writer.write_images(step, {f"{name}/{i}": picture})
        self._writer.flush()

    def _describe(self, params: Any) -> None:
        """Writes the table of parameters to a file: hundreds of lines hide a log."""
        table = tensorboard.describe_parameters(params)
        path = os.path.join(self._workdir, "parameters.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{table}\n")
        logging.info("parameters: %s", table.splitlines()[-1])

    def _log(self, text: str) -> None:
        if self._progress is None:
            logging.info("%s", text)
        else:
            self._progress.log(text)

    def _warn_of_data(self, timing: Mapping[str, float]) -> None:
        """Says once that steps wait for data, and what helps."""
        share = timing["data_seconds_per_step"] / max(timing["seconds_per_step"], 1e-9)
        if self._told_of_data or share <= DATA_IS_THE_LIMIT:
            return
        self._told_of_data = True
        logging.warning(
            "data is the limit: %.0f %% of a step is spent waiting for it. Raise "
            "config.data.num_threads to the number of cores; for pictures much larger "
            "than the crop, store them smaller; without OpenCV, raise "
            "config.data.num_workers",
            100 * share,
        )


def peak_memory() -> int:
    """Returns peak bytes: of the fullest local device, on a CPU of this process.

    0 where the system does not tell.
    """
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    peak = max(stat.get("peak_bytes_in_use", 0) for stat in stats)
    if peak or jax.default_backend() != "cpu" or sys.platform == "win32":
        return peak
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _select(numbers: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    unknown = sorted(set(names) - set(numbers))
    if unknown:
        raise ValueError(
            f"config.evals asks for {', '.join(unknown)}; there are "
            f"{', '.join(sorted(numbers))}"
        )
    return {name: numbers[name] for name in names}
