import io
import re
import sys

import pytest
from absl import logging

from jaxseg.reporting.progress import Part, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "info", lambda text, *args: lines.append(text % args))
    return lines


def test_a_log_file_gets_lines_at_intervals_and_no_control_character(
    logged, monkeypatch
):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress(100, quiet_seconds=60)
    for step in range(1, 101):
        now[0] += 10
        progress.update(step)
    progress.close()
    assert len(logged) == 14  # after 70 s each
    assert logged[0] == "step 7/100  eta 15:30"
    assert sys.stderr.getvalue() == ""


def test_no_line_soon_after_another(logged, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress(100, quiet_seconds=60)
    now[0] = 59.0
    progress.log("step 5/100  loss 1")
    now[0] = 110.0
    progress.update(9)
    assert logged == ["step 5/100  loss 1"]


def test_a_part_says_where_the_whole_is(logged, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress = Progress(100, part=Part("stage 2/4 mixed", 400, 900), quiet_seconds=-1)
    progress.update(7)
    assert logged[0].startswith("stage 2/4 mixed, 407/900 of all  step 7/100  eta ")


def test_the_bar_of_a_part_is_of_the_whole(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    terminal = sys.stderr
    progress = Progress(100, 10, part=Part("stage 2/4 mixed", 400, 900))
    progress.update(40)
    progress._bar.refresh()
    progress.close()
    shown = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "stage 2/4 mixed step" in shown and "410/900" in shown and "440/900" in shown


def test_a_terminal_gets_a_bar_below_the_lines(logged, monkeypatch):
    pytest.importorskip("rich", reason="the bar needs rich")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    terminal = sys.stderr
    progress = Progress(100, 10)
    progress.update(40)
    progress._bar.refresh()
    progress.log("a line")
    progress.close()
    assert "40/100" in re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert logged == ["a line"]
    assert sys.stderr is terminal


def test_a_terminal_without_rich_gets_lines(logged, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setitem(sys.modules, "rich", None)
    progress = Progress(100, quiet_seconds=-1)
    progress.update(40)
    assert logged[0].startswith("step 40/100  eta 0:0")
    assert sys.stderr.getvalue() == ""
