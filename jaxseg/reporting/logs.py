"""Where log lines go: the console and `train.log`."""

import contextlib
import logging
import os
import pathlib
import sys
import traceback
from typing import Any, TextIO

from absl import logging as absl_logging

_PACKAGE = str(pathlib.Path(__file__).parent.parent)
_handlers: list[logging.Handler] = []  # of the call before, which a new one replaces


def setup_logging(workdir: str | os.PathLike[str], *, is_main: bool = True) -> None:
    """Sends log lines to the console and appends them to `train.log`.

    Lines of other libraries below a warning are left out: Orbax alone would write
    dozens for each checkpoint. A second call replaces the first.

    Args:
        workdir: is made if it is not there.
        is_main: False for all processes but the first, which write no file and print
            warnings only.
    """
    root = logging.getLogger()
    for handler in (*_handlers, absl_logging.get_absl_handler()):
        root.removeHandler(handler)
    _handlers[:] = [_Console()]
    if is_main:
        os.makedirs(workdir, exist_ok=True)
        path = os.path.join(workdir, "train.log")
        _handlers.append(logging.FileHandler(path, encoding="utf-8"))
    for handler in _handlers:
        handler.setFormatter(_Formatter(datefmt="%Y-%m-%d %H:%M:%S"))
        handler.addFilter(_is_worth_a_line)
        root.addHandler(handler)
    absl_logging.set_verbosity("info" if is_main else "warning")


def log_failure(
    workdir: str | os.PathLike[str], error: Exception, *, is_main: bool = True
) -> None:
    """Logs an error as one sentence; where it came up, only in `train.log`.

    That file is the first process's; others say on their console where it came up.
    """
    absl_logging.error("%s: %s", type(error).__name__, error)
    if not is_main:
        sys.stderr.writelines(traceback.format_exception(error))
        return
    with contextlib.suppress(OSError):  # the disk may be what failed
        path = os.path.join(workdir, "train.log")
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(traceback.format_exception(error))


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    if record.pathname.startswith(_PACKAGE):
        return True
    # Orbax warns of every checkpoint without scores, which are not a fault.
    quiet = logging.WARNING if "orbax" in record.pathname else logging.INFO
    return record.levelno > quiet


class _Formatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname}: "
        return f"{record.asctime}  {level}{record.message}"

    def usesTime(self) -> bool:
        return True


class _Console(logging.StreamHandler):
    """Looks the stream up for each line: a progress bar exchanges `sys.stderr`."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        raise AttributeError("the console is always sys.stderr")
