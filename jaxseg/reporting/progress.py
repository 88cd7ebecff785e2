"""How far a run is: a bar on a terminal, a line now and then in a log file."""

import contextlib
import sys
import time
from typing import Any, NamedTuple

from absl import logging

from jaxseg.reporting.text import duration

QUIET_SECONDS = 60.0


class Part(NamedTuple):
    """Which part of a longer work a run is, as a stage of several.

    Attributes:
        title: "stage 2/4 mixed".
        before: steps of the parts before it.
        total_steps: of all parts.
    """

    title: str
    before: int
    total_steps: int

    def place(self, step: int) -> str:
        """Where the whole is, with so many steps of this part done."""
        return f"{self.title}, {self.before + step}/{self.total_steps} of all"


class Progress:
    """Shows the steps done, on a terminal as a bar, elsewhere in log lines.

    The bar needs rich and a terminal. Without them not one control character is
    written: `update` logs a line when nothing was logged for a minute.

    Args:
        total_steps: of the run.
        start_step: steps done before.
        part: of what, for a bar over the whole of it; None for a run by itself.
        quiet_seconds: how long `update` keeps still where there is no bar.
    """

    def __init__(
        self,
        total_steps: int,
        start_step: int = 0,
        *,
        part: Part | None = None,
        quiet_seconds: float = QUIET_SECONDS,
    ):
        self._total_steps = total_steps
        self._start_step = start_step
        self._part = part
        self._quiet_seconds = quiet_seconds
        self._began = self._spoke = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            # Without rich, the log lines of a run that has no terminal.
            with contextlib.suppress(ImportError):
                whole = part or Part("", 0, total_steps)
                self._bar = _rich_bar(whole, start_step)

    def update(self, step: int) -> None:
        """Notes that `step` steps are done; cheap enough for every step."""
        if self._bar is not None:
            before = self._part.before if self._part else 0
            self._bar.update(self._bar.task_ids[0], completed=before + step)
        elif time.monotonic() - self._spoke > self._quiet_seconds:
            text = f"step {step}/{self._total_steps}  eta {self._eta(step)}"
            self.log(self.placed(step, text))

    def placed(self, step: int, text: str) -> str:
        """A line about a step, behind the place of that step in the whole."""
        return f"{self._part.place(step)}  {text}" if self._part else text

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


def _rich_bar(whole: Part, start_step: int) -> Any:
    from rich import console, progress

    bar = progress.Progress(
        progress.TextColumn(f"{whole.title} step".strip()),
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
    done = whole.before + start_step
    bar.add_task("train", total=whole.total_steps, completed=done)
    bar.start()
    return bar
