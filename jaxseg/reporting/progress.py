"""How far a run is: a bar on a terminal, a line now and then in a log file."""

import contextlib
import sys
import time
from typing import Any

from absl import logging

from jaxseg.reporting.text import duration

QUIET_SECONDS = 60.0


class Progress:
    """Shows the steps done, on a terminal as a bar, elsewhere in log lines.

    The bar needs rich and a terminal. Without them not one control character is
    written: `update` logs a line when nothing was logged for a minute.

    Args:
        total_steps: of the run.
        start_step: steps done before.
        quiet_seconds: how long `update` keeps still where there is no bar.
    """

    def __init__(
        self,
        total_steps: int,
        start_step: int = 0,
        *,
        quiet_seconds: float = QUIET_SECONDS,
    ):
        self._total_steps = total_steps
        self._start_step = start_step
        self._quiet_seconds = quiet_seconds
        self._began = self._spoke = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            # Without rich, the log lines of a run that has no terminal.
            with contextlib.suppress(ImportError):
                self._bar = _rich_bar(total_steps, start_step)

    def update(self, step: int) -> None:
        """Notes that `step` steps are done; cheap enough for every step."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step)
        elif time.monotonic() - self._spoke > self._quiet_seconds:
            self.log(f"step {step}/{self._total_steps}  eta {self._eta(step)}")

    def log(self, text: str) -> None:
        """Logs a text, above the bar if there is one."""
        self._spoke = time.monotonic()
        logging.info("%s", text)

    def close(self) -> None:
        """Takes the bar down and gives the terminal back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _eta(self, step: int) -> str:
        done = step - self._start_step
        seconds = time.monotonic() - self._began
        left = self._total_steps - step
        return duration(seconds / done * left if done else float("inf"))


def _rich_bar(total_steps: int, start_step: int) -> Any:
    from rich import console, progress

    bar = progress.Progress(
        progress.TextColumn("step"),
        progress.MofNCompleteColumn(),
        progress.BarColumn(bar_width=None),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("eta"),
        progress.TimeRemainingColumn(),
        console=console.Console(stderr=True),
        refresh_per_second=4,
        transient=True,
    )
    bar.add_task("train", total=total_steps, completed=start_step)
    bar.start()
    return bar
