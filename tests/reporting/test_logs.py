import logging
import sys

import pytest
from absl import logging as absl_logging

from jaxseg import reporting
from jaxseg.reporting import logs


@pytest.fixture(autouse=True)
def handlers():
    """Leaves the loggers as they were."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    root.handlers[:] = before


def say(level, text, path):
    logger = absl_logging.get_absl_logger()
    logger.handle(logger.makeRecord("absl", level, path, 1, text, (), None))


def test_our_lines_and_the_warnings_of_others_reach_file_and_console(tmp_path, capsys):
    reporting.setup_logging(tmp_path / "run")
    say(logging.INFO, "of ours", logs.__file__)
    say(logging.INFO, "of orbax", "/somewhere/orbax/x.py")
    say(logging.WARNING, "of a checkpoint without scores", "/somewhere/orbax/x.py")
    say(logging.WARNING, "of anyone", "/somewhere/else/x.py")
    for text in ((tmp_path / "run" / "train.log").read_text(), capsys.readouterr().err):
        first, second = text.splitlines()
        assert first.endswith("  of ours")
        assert second.endswith("  WARNING: of anyone")


def test_a_second_run_appends_and_says_nothing_twice(tmp_path, capsys):
    for text in ("first", "second"):
        reporting.setup_logging(tmp_path)
        say(logging.INFO, text, logs.__file__)
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["first", "second"]
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_other_processes_write_no_file_and_warn_only(tmp_path, capsys):
    reporting.setup_logging(tmp_path, is_main=False)
    absl_logging.info("progress")
    absl_logging.warning("trouble")
    assert not list(tmp_path.iterdir())
    assert "trouble" in (said := capsys.readouterr().err) and "progress" not in said


def test_a_failure_of_another_process_is_not_in_the_first_ones_file(tmp_path, capsys):
    reporting.setup_logging(tmp_path, is_main=False)
    try:
        raise ValueError("a bad picture")
    except ValueError as error:
        reporting.log_failure(tmp_path, error, is_main=False)
    assert not list(tmp_path.iterdir())
    assert "Traceback" in capsys.readouterr().err


def test_the_console_follows_an_exchanged_stream(tmp_path, monkeypatch, capsys):
    reporting.setup_logging(tmp_path)
    absl_logging.warning("before")
    monkeypatch.setattr(sys, "stderr", sys.stdout)  # as a progress bar does
    absl_logging.warning("after")
    assert "after" in capsys.readouterr().out
