"""What happens around the steps: signals, what is due, the log of the losses."""

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import optax
from absl import logging

from jaxseg import peers, reporting


class TrainingDiverged(RuntimeError):
    """A metric of a step is not finite; the message names both."""


class StopSignal:
    """Notes SIGTERM and SIGINT, so that the step ends and is saved; twice ends at once.

    Calling it says whether the run is to stop here. Of several processes any one's
    signal stops all, at the same call; so all must call it alike.

    Args:
        line: to the other processes; an attribute too.
    """

    def __init__(self, line: peers.Alone | None = None) -> None:
        self.line = line or peers.Alone()
        self._signalled = ""  # here, and not at another process
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        for number in (signal.SIGTERM, signal.SIGINT):
            # Only the main thread may set handlers; elsewhere its owner decides.
            with contextlib.suppress(ValueError):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        return self.line.agree(self._signalled)

    @property
    def name(self) -> str:
        """The signal that stops the run, wherever it came; "" without one."""
        return self._signalled or self.line.stop_name

    def _note(self, number: int, frame: Any) -> None:
        del frame
        if self._signalled:
            os._exit(128 + number)
        self._signalled = signal.Signals(number).name
        # Not the logger, whose lock the interrupted line may hold.
        message = (
            f"\n{self._signalled}: saving after this step; once more to exit at once\n"
        )
        os.write(2, message.encode())


DEFAULT_INTERVALS = {"log": 50, "checkpoint": 1_000, "evaluate": 1_000}


def due(config: Mapping[str, Any], what: str, step: int) -> bool:
    """Says whether something that happens every n steps is due.

    Args:
        config: a whole config; `every` and `total_steps` are read.
        what: "log", "checkpoint" or "evaluate". An interval of 0 leaves only the last
            step, which is always logged, saved and evaluated. A step that is evaluated
            is saved too.
        step: the number of steps done.
    """
    interval = config.get("every", {}).get(what, DEFAULT_INTERVALS[what])
    return step == config["total_steps"] or (interval > 0 and step % interval == 0)


MOST_UNREAD = 1_000  # steps after which metrics are looked at, however rare the lines


class TrainingLog:
    """Collects the metrics of steps on the devices and reads them when a line is due.

    Args:
        report: receives the line.
        batch_size: global number of images a step.
        total_steps: of the run.
        schedule: learning rate by step.
        start_step: steps done before.
        warnings: gives what to tell the user, of the step, `total_steps` and the means.
    """

    def __init__(
        self,
        report: reporting.Report,
        *,
        batch_size: int,
        total_steps: int,
        schedule: optax.Schedule,
        start_step: int,
        warnings: Callable[..., Iterable[str]] = lambda step, total_steps, means: (),
    ):
        self._report = report
        self._batch_size = batch_size
        self._total_steps = total_steps
        self._schedule = schedule
        self._warnings = warnings
        self._warned: set[str] = set()
        self._unread: list[tuple[int, Mapping[str, jax.Array]]] = []
        self._read: list[dict[str, float]] = []
        self._last_line = start_step
        self._waited = self._paused = 0.0
        self._began = time.perf_counter()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the seconds inside as waiting for data."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves the seconds inside, as of an evaluation, out of the step time."""
        began = time.perf_counter()
        yield
        self._paused += time.perf_counter() - began

    def record(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        """Keeps a step's metrics unread, and the host at most two steps ahead.

        Without a bound the host would queue steps, and their batches, without end.
        """
        self._unread.append((step, metrics))
        if len(self._unread) > 2:
            jax.block_until_ready(self._unread[-3][1])
        if len(self._unread) >= MOST_UNREAD:
            self.check()

    def check(self) -> None:
        """Reads the metrics that are still on the devices.

        Raises:
            TrainingDiverged: at the first step with a metric that is not finite.
        """
        unread, self._unread = self._unread, []
        for step, metrics in jax.device_get(unread):
            values = {name: float(value) for name, value in metrics.items()}
            for name, value in values.items():
                if not math.isfinite(value):
                    raise TrainingDiverged(
                        f"{name} is {value} at step {step} (all metrics of the step: "
                        f"{values}); nothing was saved since, earlier checkpoints are "
                        "intact; in a new --workdir try a lower config.schedule.peak, "
                        "a warm-up or config.optimizer.clip_norm"
                    )
            self._read.append(values)

    def write(self, step: int, **extra: float) -> None:
        """Writes the means since the last line, with seconds, images/s and memory."""
        self.check()
        steps = step - self._last_line
        if not steps:
            return
        seconds = time.perf_counter() - self._began - self._paused
        means = {
            name: float(np.mean([values[name] for values in self._read]))
            for name in self._read[-1]
        }
        timing = {
            "seconds_per_step": seconds / steps,
            "data_seconds_per_step": self._waited / steps,
            "images_per_second": self._batch_size * steps / seconds,
            "eta_seconds": seconds / steps * (self._total_steps - step),
        }
        rate = float(self._schedule(step - 1))
        self._report.training(step, {"learning_rate": rate} | means, timing, extra)
        for message in self._warnings(step, self._total_steps, means):
            if message not in self._warned:
                logging.warning("step %d: %s", step, message)
                self._warned.add(message)
        self._read = []
        self._last_line = step
        self._waited = self._paused = 0.0
        self._began = time.perf_counter()
